//! A real Git server over HTTP and HTTPS: `git http-backend` behind a little CGI; and repositories made with git.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

pub struct GitServer {
    pub folder: TempDir,
    pub url: String,
    pub ca: Option<String>,
    pub requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Backend {
    root: PathBuf,
    /// `user:token` that is asked for.
    login: Option<String>,
    /// Refuse commits that no ref names, as old servers do.
    protocol: bool,
    /// Where every request is sent on to.
    elsewhere: Option<String>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub async fn start() -> Self {
        Self::with(None, true, false, None).await
    }

    /// A server that speaks only the first protocol, and gives out only what refs name.
    pub async fn old() -> Self {
        Self::with(None, false, false, None).await
    }

    /// A server with TLS that asks for a login.
    pub async fn guarded(login: &str) -> Self {
        Self::with(Some(login.to_owned()), true, true, None).await
    }

    /// A server without TLS that asks for a login.
    pub async fn guarded_without_tls(login: &str) -> Self {
        Self::with(Some(login.to_owned()), true, false, None).await
    }

    /// A server with TLS that sends everybody to another one, after it has asked for a login if it has one.
    pub async fn moved(login: Option<&str>, elsewhere: &str) -> Self {
        Self::with(login.map(str::to_owned), true, true, Some(elsewhere.to_owned())).await
    }

    async fn with(login: Option<String>, protocol: bool, tls: bool, elsewhere: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let root = folder.path().to_owned();
        let backend = Backend {
            root,
            login,
            protocol,
            elsewhere,
            requests: Arc::clone(&requests),
        };
        let router = Router::new()
            .fallback(cgi)
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
            .with_state(backend);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let (url, ca) = if tls {
            let front = crate::session::tls_before(([127, 0, 0, 1], port).into()).await;
            (format!("https://localhost:{}", front.port), Some(front.ca))
        } else {
            (format!("http://127.0.0.1:{port}"), None)
        };
        Self {
            folder,
            url,
            ca,
            requests,
        }
    }

    /// Whether anybody has shown a login.
    pub fn saw_login(&self) -> bool {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .any(|request| request.contains(" Basic "))
    }

    pub fn repository(&self, name: &str) -> Repository {
        Repository::create(&self.folder.path().join(name))
    }
}

async fn cgi(
    State(backend): State<Backend>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = move |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    backend
        .requests
        .lock()
        .unwrap()
        .push(format!("{method} {uri} {}", header("authorization")));
    if let Some(login) = &backend.login
        && header("authorization") != format!("Basic {}", STANDARD.encode(login))
    {
        return (
            StatusCode::UNAUTHORIZED,
            [("www-authenticate", "Basic realm=git")],
        )
            .into_response();
    }
    if let Some(elsewhere) = &backend.elsewhere {
        let place = format!("{elsewhere}{uri}");
        return (StatusCode::FOUND, [("location", place)]).into_response();
    }
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &backend.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("PATH_INFO", uri.path())
            .env("QUERY_STRING", uri.query().unwrap_or_default())
            .env("REQUEST_METHOD", method.as_str())
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if backend.protocol {
            command.env("GIT_PROTOCOL", header("git-protocol"));
        }
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || drop(input.write_all(&body)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output.stdout
    });
    let answer = answer.await.unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&answer[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            response = response.status(value[..3].parse::<u16>().unwrap());
        } else {
            response = response.header(name, value);
        }
    }
    response.body(answer[end + 4..].to_vec().into()).unwrap()
}

pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    fn create(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let repository = Self {
            path: path.to_owned(),
        };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub fn git(&self, words: &[&str]) -> String {
        self.git_with(words, "")
    }

    pub fn git_with(&self, words: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new("git")
            .args([
                "-c",
                "user.name=T",
                "-c",
                "user.email=t@example",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(["-c", "protocol.file.allow=always", "-c", "core.protectNTFS=false"])
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
            .current_dir(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes files and commits them.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.path.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.commit_index()
    }

    pub fn commit_index(&self) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Adds a submodule without looking at its URL.
    pub fn link(&self, path: &str, url: &str, commit: &str) {
        let modules = self.path.join(".gitmodules");
        let before = std::fs::read_to_string(&modules).unwrap_or_default();
        std::fs::write(
            &modules,
            format!("{before}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"),
        )
        .unwrap();
        self.git(&["add", ".gitmodules"]);
        self.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{commit},{path}"),
        ]);
    }
}
