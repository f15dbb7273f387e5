//! What the Kubernetes APIs that answer from a script have in common: how a request is read and answered, and how the program finds them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::Value;

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Null when it has none.
    pub(crate) body: Value,
    /// Names in small letters.
    headers: BTreeMap<String, String>,
}

impl Request {
    /// Reads one; none when whoever connected says nothing.
    pub(crate) fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return None;
        }
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: Value::Null,
            headers: BTreeMap::new(),
        };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                let name = name.to_ascii_lowercase();
                request.headers.insert(name, value.trim().to_owned());
            }
        }
        let length = request.header("content-length").parse().unwrap_or(0);
        if length > 0 {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            request.body = serde_json::from_slice(&body).unwrap();
        }
        Some(request)
    }

    /// A header; empty when it has none of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What an answer begins with. Without a length the end of the connection ends the body, as for a watch.
pub(crate) fn begin(stream: &mut TcpStream, code: u16) {
    let head = format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

/// Answers. A client that went away needs none.
pub(crate) fn answer(stream: &mut TcpStream, code: u16, body: &Value) {
    begin(stream, code);
    let _ = stream.write_all(format!("{body}\n").as_bytes());
}

/// A kubeconfig for the API server at a port of this machine.
pub(crate) fn kubeconfig(port: u16, namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]
users: [{{name: u, user: {{}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u, namespace: {namespace}}}}}]
current-context: x
"
    )
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
