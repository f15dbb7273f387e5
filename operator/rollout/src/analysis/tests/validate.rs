use proptest::prelude::*;

use super::*;
use crate::analysis::{json_path_shape, validate};

fn refused(text: &str) -> String {
    validate(&analysis(&[yaml(text)])).unwrap_err().to_string()
}

const PROMETHEUS: &str = "prometheus: {address: http://p, query: 'x{r=\"$(release)\"}'}";

#[test]
fn what_is_wrong_is_named_with_its_place_and_its_fix() {
    for (text, said) in [
        ("success: result < 1", "exactly one of prometheus, web and job"),
        ("prometheus: {address: http://p, query: x}", "success"),
        (
            "success: result <\nprometheus: {address: http://p, query: x}",
            "success: line 1",
        ),
        (
            "success: reslut < 1\nprometheus: {address: http://p, query: x}",
            "`reslut` is not known",
        ),
        (
            "success: result < baseline\nprometheus: {address: http://p, query: x}",
            "compare: true",
        ),
        (
            "success: success()\nprometheus: {address: http://p, query: x}",
            "no function `success`",
        ),
        (
            "failure: result * 100 > 5\nprometheus: {address: http://p, query: x}",
            "100.0",
        ),
        (
            "failure: result[0] * 100 > 5\nprometheus: {address: http://p, query: x}",
            "100.0",
        ),
        (
            "success: result < 1\ncompare: true\nprometheus: {address: http://p, query: x}",
            "$(release)",
        ),
        (
            "success: result < 1\nprometheus: {address: 'p:9090', query: x}",
            "http://",
        ),
        (
            "success: result < 1\nprometheus: {address: 'http://', query: x}",
            "no host",
        ),
        ("web: {url: 'http://user:secret@x/'}", "token"),
        ("web: {url: 'http://x/', jsonPath: data.ok}", "begins with $"),
        ("web: {url: 'http://x/', timeout: 0s}", "timeout"),
        ("count: 201\nweb: {url: 'http://x/'}", "at most 200"),
        ("count: 3\nminSamples: 4\nweb: {url: 'http://x/'}", "never pass"),
        ("failureLimit: -1\nweb: {url: 'http://x/'}", "failureLimit"),
        ("interval: 0s\nweb: {url: 'http://x/'}", "interval"),
        (
            "compare: true\njob: {name: j, image: i, steps: [{run: x}]}",
            "baseline",
        ),
    ] {
        let error = refused(&format!("name: m\n{text}"));
        assert!(error.contains("`m`") && error.contains(said), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn what_can_be_measured_is_accepted() {
    for text in [
        &format!("success: result < 0.01\n{PROMETHEUS}"),
        &format!("success: result <= 1.2 * baseline\ncompare: true\n{PROMETHEUS}"),
        &format!("failure: result.exists(x, x > 3)\n{PROMETHEUS}"),
        "web: {url: 'https://x/$(image)', jsonPath: $.data.ok}",
        "success: result.errors / result.total < 0.01\nweb: {url: 'https://x/'}",
        "job: {name: j, image: i, steps: [{run: x}]}",
    ] {
        let metric = yaml(&format!("name: m\n{text}"));
        assert_eq!(validate(&analysis(&[metric])), Ok(()), "{text}");
    }
}

#[test]
fn a_json_path_that_could_run_for_long_is_refused() {
    for good in [
        "$",
        "$.data.ok",
        "$['a..b$?']",
        "$..items[?@.name == '$x'].value",
        "$.items[?length(@.name) > 3 && @.ok == true].n",
    ] {
        assert_eq!(json_path_shape(good), Ok(()), "{good}");
    }
    for bad in [
        "data",
        "$..a..b..c",
        "$[?@..a]",
        "$..a[?$..b == 1]",
        "$[?count($[*]) > 1]",
        &format!("$[?{}true{}]", "(".repeat(40), ")".repeat(40)),
    ] {
        assert!(json_path_shape(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in ".{0,80}") {
        let _ = json_path_shape(&text);
        let mut one = metric("m");
        one.success = Some(text.clone());
        let _ = validate(&analysis(&[one]));
        let mut one = metric("m");
        one.prometheus.as_mut().unwrap().query = text;
        let _ = validate(&analysis(&[one]));
    }
}
