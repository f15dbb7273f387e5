//! Prometheus: `POST /api/v1/query`, an instant query.

use dcanary_rollout::seen::Answer;
use reqwest::{Client, Url, header};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::{host, parse, refused, send};

/// What an infinite number is told as: CEL has no word for it, so it would be compared with by chance.
const INFINITE: &str = "the query gives an infinite number, such as from a division by 0: guard it in the query, for instance with `> 0` on the divisor";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// Asks a query.
pub(super) async fn ask(
    http: &Client,
    address: &str,
    query: &str,
    token: Option<&str>,
) -> Result<Answer, String> {
    let mut url = parse(address)?;
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    let request = http
        .post(url.clone())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(form(query)?);
    let said = send(request, &url, token).await?;
    let Ok(read) = serde_json::from_slice::<Said>(&said.body) else {
        return Err(if said.status.is_success() {
            format!("{} gives no answer of Prometheus", host(&url))
        } else {
            refused(said.status, &url)
        });
    };
    match read {
        Said {
            status,
            data: Some(data),
            ..
        } if status == "success" && said.status.is_success() => answer(&data),
        Said {
            error: Some(error), ..
        } => Err(format!("Prometheus refuses the query: {error}")),
        _ if said.status.is_success() => Err(format!("{} gives no answer of Prometheus", host(&url))),
        _ => Err(refused(said.status, &url)),
    }
}

/// The body of a form. A URL knows how to encode it.
fn form(query: &str) -> Result<String, String> {
    let url = Url::parse_with_params("http://form", [("query", query)]);
    let url = url.map_err(|problem| format!("the query cannot be sent: {problem}"))?;
    Ok(url.query().unwrap_or_default().to_owned())
}

fn answer(data: &Data) -> Result<Answer, String> {
    let elements = match (data.result_type.as_str(), &data.result) {
        ("scalar", result) => vec![number(result)?],
        ("vector", Value::Array(elements)) => {
            let each = elements.iter().map(|element| match element.get("value") {
                Some(value) => number(value),
                None => Err(
                    "the query gives a histogram, not a number: use a function such as histogram_quantile"
                        .to_owned(),
                ),
            });
            each.collect::<Result<Vec<_>, _>>()?
        }
        ("matrix", _) => {
            return Err(
                "the query gives a range of values, not one: use a function such as avg_over_time".to_owned(),
            );
        }
        ("string", _) => return Err("the query gives a string, not a number".to_owned()),
        (other, _) => return Err(format!("the query gives a {other}, which is not known")),
    };
    let alone = elements.len() == 1;
    // NaN says nothing: what is left counts
    let mut numbers: Vec<Value> = elements.into_iter().flatten().map(Value::Number).collect();
    Ok(match numbers.pop() {
        None => Answer::NoData,
        Some(only) if alone => Answer::Value(only),
        Some(last) => {
            numbers.push(last);
            Answer::Value(Value::Array(numbers))
        }
    })
}

/// The number of `[time, "text"]`; `None`: NaN.
fn number(sample: &Value) -> Result<Option<Number>, String> {
    let text = sample.get(1).and_then(Value::as_str);
    let text = text.ok_or_else(|| "the answer has a sample without a value".to_owned())?;
    // as it was given, where JSON can say it
    if let Ok(number) = serde_json::from_str(text) {
        return Ok(Some(number));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Ok(None),
        Ok(number) => Number::from_f64(number)
            .map(Some)
            .ok_or_else(|| INFINITE.to_owned()),
        Err(_) => Err("the answer has a value that is no number".to_owned()),
    }
}
