use dcanary_crds::{ParamValue, TemplateRef};

use super::*;
use crate::analysis::{
    AnalysisError, METRICS, metrics,
    resolve::{Place, fill},
};

const TEMPLATE: &str = r#"
  params:
  - name: address
    default: http://prometheus:9090
  - name: most
  metrics:
  - name: errors
    success: result < $(most)
    prometheus:
      address: $(address)
      query: errors{job="$(release)", ns="$(namespace)"}
"#;

fn seen(text: &str) -> Seen {
    Seen {
        templates: [((false, "rates".to_owned()), template(text))].into(),
        ..Seen::default()
    }
}

fn with(params: &[(&str, &str)]) -> Analysis {
    let value = |(name, value): &(&str, &str)| ParamValue {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Analysis {
        templates: vec![TemplateRef {
            name: "rates".to_owned(),
            params: params.iter().map(value).collect(),
            ..TemplateRef::default()
        }],
        ..Analysis::default()
    }
}

#[test]
fn parameters_of_a_template_are_put_into_its_texts_and_the_rest_stays_for_each_release() {
    let found = metrics(&with(&[("most", "0.05")]), &seen(TEMPLATE)).unwrap();
    assert_eq!(found[0].success.as_deref(), Some("result < 0.05"));
    let prometheus = found[0].prometheus.as_ref().unwrap();
    assert_eq!(prometheus.address, "http://prometheus:9090");
    assert_eq!(
        prometheus.query,
        "errors{job=\"$(release)\", ns=\"$(namespace)\"}"
    );
}

#[test]
fn a_missing_template_or_parameter_is_named_and_only_a_missing_template_is_waited_for() {
    let missing = metrics(&with(&[]), &Seen::default()).unwrap_err();
    assert!(
        missing.waits() && missing.to_string().contains("`rates`"),
        "{missing}"
    );
    let param = metrics(&with(&[]), &seen(TEMPLATE)).unwrap_err();
    assert!(!param.waits() && param.to_string().contains("`most`"), "{param}");
    let unknown = metrics(&with(&[("most", "1"), ("least", "1")]), &seen(TEMPLATE)).unwrap_err();
    assert!(unknown.to_string().contains("address, most"), "{unknown}");
}

#[test]
fn an_unknown_name_is_an_error_wherever_it_stands() {
    let mut in_query = metric("a");
    in_query.prometheus.as_mut().unwrap().query = "x{a=\"$(relaese)\"}".to_owned();
    let mut in_condition = metric("a");
    // what a Release says is never pasted into a condition
    in_condition.success = Some("result == '$(image)'".to_owned());
    let mut open = metric("a");
    open.prometheus.as_mut().unwrap().query = "x $(release".to_owned();
    for wrong in [in_query, in_condition, open] {
        let error = metrics(&analysis(&[wrong]), &Seen::default()).unwrap_err();
        assert!(matches!(error, AnalysisError::Reference { .. }), "{error}");
    }
    let by_value = metrics(
        &with(&[("most", "1"), ("address", "http://$(host)")]),
        &seen(TEMPLATE),
    );
    assert!(
        matches!(by_value, Err(AnalysisError::Reference { .. })),
        "{by_value:?}"
    );
    assert!(
        metrics(
            &with(&[("most", "1"), ("address", "http://p.$(namespace)")]),
            &seen(TEMPLATE)
        )
        .is_ok()
    );
}

#[test]
fn names_are_unique_with_those_of_templates_and_there_are_not_too_many() {
    let mut twice = with(&[("most", "1")]);
    twice.metrics = vec![metric("errors")];
    let error = metrics(&twice, &seen(TEMPLATE)).unwrap_err();
    assert_eq!(error, AnalysisError::Duplicate("errors".to_owned()));
    let many: Vec<Metric> = (0..=METRICS).map(|i| metric(&format!("m{i}"))).collect();
    let error = metrics(&analysis(&many), &Seen::default()).unwrap_err();
    assert_eq!(error, AnalysisError::TooMany(METRICS + 1));
    assert_eq!(
        metrics(&Analysis::default(), &Seen::default()),
        Err(AnalysisError::Empty)
    );
}

#[test]
fn parameters_reach_the_variables_of_a_job_and_leave_its_own_expressions_alone() {
    let seen = seen(
        r#"
  params:
  - name: url
  metrics:
  - name: smoke
    job:
      name: smoke
      image: curl
      env: [{name: URL, value: "$(url)/$(params.release)"}]
      steps: [{run: "curl $URL $(date)", env: [{name: U, value: "$(url)"}]}]
"#,
    );
    let job = metrics(&with(&[("url", "http://x")]), &seen)
        .unwrap()
        .remove(0)
        .job
        .unwrap();
    assert_eq!(job.env[0].value.as_deref(), Some("http://x/$(params.release)"));
    assert_eq!(job.steps[0].env[0].value.as_deref(), Some("http://x"));
    assert_eq!(job.steps[0].run.as_deref(), Some("curl $URL $(date)"));
}

#[test]
fn the_baseline_is_the_same_query_of_the_stable_release() {
    let text = "x{release=\"$(release)\",env=\"$(environment)\"} $$(plain";
    let one = |baseline| fill(text, &vars(), baseline, Place::Query).unwrap();
    assert_eq!(one(false), "x{release=\"web-1111111111\",env=\"web\"} $(plain");
    assert_eq!(one(true), "x{release=\"web-0000000000\",env=\"web\"} $(plain");
    let mut first = vars();
    first.stable = None;
    assert!(fill(text, &first, true, Place::Query).is_err());
}

#[test]
fn a_value_never_ends_the_string_of_a_query_or_the_part_of_a_url() {
    let mut vars = vars();
    let image = "x\"} or vector(0) #&a=b@sha256:ab";
    vars.images = [("web".to_owned(), image.to_owned())].into();
    let error = fill("x{image=\"$(image)\"}", &vars, false, Place::Query).unwrap_err();
    assert!(error.contains("quotes"), "{error}");
    let url = fill("http://x/?image=$(image_web)", &vars, false, Place::Url).unwrap();
    assert_eq!(
        url,
        "http://x/?image=x%22%7D%20or%20vector%280%29%20%23%26a%3Db%40sha256%3Aab"
    );
    vars.images.insert("$(release)".to_owned(), "y".to_owned());
    let several = fill("http://x/$(image)", &vars, false, Place::Url).unwrap_err();
    assert!(several.contains("image_<name>"), "{several}");
}
