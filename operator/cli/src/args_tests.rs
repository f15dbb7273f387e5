use super::*;
use clap::CommandFactory as _;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_verify_names_everything_that_it_verifies() {
    let command = Cli::command();
    let verify = command.find_subcommand("verify").unwrap();
    let (about, examples) = (verify.get_about().unwrap(), verify.get_after_help().unwrap());
    for what in verify.get_subcommands().map(clap::Command::get_name) {
        assert!(about.to_string().contains(what), "{what}: {about}");
        assert!(examples.to_string().contains(what), "{what}: {examples}");
    }
}

#[test]
fn every_command_has_an_example_and_says_what_it_does() {
    fn walk(command: &clap::Command, path: &str) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{path} says nothing of itself");
            let examples = inner
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                examples.contains(&path),
                "{path} has no example of itself: {examples}"
            );
            for argument in inner.get_arguments().filter(|one| one.get_id() != "help") {
                assert!(
                    argument.get_help().is_some(),
                    "{path}: {} is not explained",
                    argument.get_id()
                );
            }
            walk(inner, &path);
        }
    }
    walk(&Cli::command(), "dcanary");
}

#[test]
fn a_form_that_a_command_does_not_print_is_refused_with_those_that_it_does() {
    let asked = |form: &str| Global {
        output: Some(form.to_owned()),
        ..Global::default()
    };
    let said = |form: &str, known: &[Format]| asked(form).form("dcanary x", known).unwrap_err().message;
    assert_eq!(Global::default().form("dcanary x", &[]), Ok(None));
    assert_eq!(
        asked("yaml").form("x", &[Format::Json, Format::Yaml]),
        Ok(Some(Format::Yaml))
    );
    assert_eq!(
        said("xml", &[Format::Json, Format::Yaml, Format::Name]),
        "`dcanary x` does not print `-o xml`; use -o json, yaml or name, or leave it out"
    );
    assert!(said("wide", &[Format::Json]).ends_with("use -o json, or leave it out"));
    assert!(said("json", &[]).ends_with("leave -o out"));
}

#[test]
fn values_of_parameters_may_hold_equal_signs_and_anything_else() {
    assert_eq!(
        param("a=b=c; rm -rf /").unwrap(),
        ("a".to_owned(), "b=c; rm -rf /".to_owned())
    );
    assert_eq!(param("a=").unwrap(), ("a".to_owned(), String::new()));
    assert!(param("a").is_err() && param("=b").is_err());
}

#[test]
fn a_namespace_that_none_can_be_called_is_wrong_usage() {
    for name in ["A B", "", "a/b", "-a", "a-", "a%20b", "a.b", &"a".repeat(64)] {
        for flag in ["--namespace", "--operator-namespace"] {
            let refused =
                Cli::try_parse_from(["dcanary", "get", "runs", &format!("{flag}={name}")]).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            assert!(
                refused.to_string().contains("no namespace is called so"),
                "{refused}"
            );
        }
    }
    for name in ["a", "team-1", "0", &"a".repeat(63)] {
        let cli = Cli::try_parse_from(["dcanary", "get", "runs", "-n", name]).unwrap();
        assert_eq!(cli.global.namespace.as_deref(), Some(name));
    }
}
