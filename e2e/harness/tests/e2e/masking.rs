//! Secrets, printed as carelessly as tools print them.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use dcanary_harness::{
    fixtures::{BUSYBOX, LIMIT, run},
    scenario,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use serde_json::json;

/// With everything in it that some spelling writes in another way.
const TOKEN: &str = "s3cr3t/t0ken+of=the%exam'ple";

/// Each line prints the token in another way.
const PRINTED: &str = r#"
    echo "plain $TOKEN"
    printf '%s' "$TOKEN" | base64
    printf 'u:%s' "$TOKEN" | base64
    printf 'us:%s' "$TOKEN" | base64
    printf 'user:%s' "$TOKEN" | base64 | tr '+/' '-_'
    printf 'user:%s and more' "$TOKEN" | base64 -w 20
    printf '%s' "$TOKEN" | hexdump -v -e '/1 "%02x"'; echo
    printf '%s' "$TOKEN" | hexdump -v -e '/1 "%02X"'; echo
    printf '%s\n' "$TOKEN" | sed 's/%/%25/g; s|/|%2F|g; s/+/%2B/g; s/=/%3D/g'
    printf '%s\n' "$TOKEN" | sed 's/%/%25/g; s|/|%2f|g; s/+/%2b/g; s/=/%3d/g'
    printf '%s\n' "$TOKEN" | fold -w 7
    printf '%s' "${TOKEN%%of*}"; sync; printf '%s\n' "of${TOKEN#*of}" >&2
    printf '{"token":"%s"}\n' "$TOKEN"
    (set -x; true "$TOKEN")
    cat /var/run/dcanary/secrets/token/token; echo
    echo "the end"
"#;

/// What of a spelling must not be found: in base64 all characters but those that others share with it.
fn spellings() -> Vec<(&'static str, String)> {
    let inside = |before: &str| {
        let text = STANDARD.encode(format!("{before}{TOKEN}"));
        let whole = text.trim_end_matches('=');
        let begin = (before.len() * 8).div_ceil(6);
        whole[begin..whole.len() - 1].to_owned()
    };
    let percent: String = TOKEN
        .chars()
        .map(|one| match one {
            '%' | '/' | '+' | '=' => format!("%{:02X}", one as u32),
            other => other.to_string(),
        })
        .collect();
    let hexadecimal = hex::encode(TOKEN);
    vec![
        ("plain", TOKEN.to_owned()),
        ("base64", inside("")),
        ("base64 behind a byte", inside("u")),
        ("base64 behind two", inside("us")),
        ("hexadecimal", hexadecimal),
        ("percent", percent),
    ]
}

/// Without case, line breaks and the alphabet of base64: what a reader would put together.
fn read(text: &str) -> String {
    let text: String = text.split_whitespace().collect();
    text.replace('-', "+").replace('_', "/").to_lowercase()
}

#[tokio::test]
async fn a_secret_is_masked_in_every_spelling_in_which_a_step_prints_it() -> Result<()> {
    scenario("masking", |ns| async move {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": TOKEN},
        });
        ns.apply(&secret.to_string()).await?;
        let stage = json!({
            "name": "careless", "image": BUSYBOX,
            "env": [{"name": "TOKEN", "secret": {"name": "token", "key": "token"}}],
            "secrets": [{"name": "token"}],
            "steps": [{"run": PRINTED}],
        });
        ns.apply(&run("masking", &json!([stage]))).await?;
        let view = ns.finished("masking", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let pod = view.attempt("careless")?["pod"].as_str().context("pod")?.to_owned();
        let container = ns.api::<Pod>().logs(&pod, &LogParams::default()).await?;
        for (place, text) in [("log", ns.logs("masking").await?), ("container's log", container)] {
            ensure!(text.contains("the end"), "{place}: {text}");
            let read = read(&text);
            for (name, spelling) in spellings() {
                ensure!(!read.contains(&self::read(&spelling)), "{name} is in the {place}: {text}");
            }
            // and not because nothing was printed
            let masked = text.matches("***").count();
            ensure!(masked >= 14, "{masked} in the {place}: {text}");
        }
        Ok(())
    })
    .await
}
