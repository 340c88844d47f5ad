//! The site's files: scripts, styles, icons.
//!
//! They are in the binary, or are read into memory at start-up, and all requests share one copy. If a file were read from
//! disk for each request, each client that reads slowly would take a quarter of a megabyte of the server's memory.

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Encodings of files that are stored beside the original, by preference: `Content-Encoding` and file name extension.
const ENCODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];
/// Where `cargo leptos` writes the files.
#[cfg(not(feature = "embed"))]
const DEFAULT_FOLDER: &str = "target/site";

/// All files, by the path of their URL.
#[derive(Debug, Default)]
pub struct SiteFiles {
    files: HashMap<String, SiteFile>,
    /// A digest of all files.
    version: String,
    /// The folder to re-read for each request while `cargo leptos watch` runs, which changes the files.
    watched: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct SiteFile {
    content_type: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    encoded: Vec<(&'static str, Bytes)>,
}

#[cfg(feature = "embed")]
#[derive(rust_embed::Embed)]
#[folder = "../target/embed"]
struct Embedded;

impl SiteFiles {
    /// The files of a folder, or else those in the binary. A binary that is built without the feature `embed` has none,
    /// and reads the folder that `cargo leptos` writes.
    #[must_use]
    pub fn open(folder: Option<&Path>) -> Self {
        #[cfg(feature = "embed")]
        let open_default = Self::embedded;
        #[cfg(not(feature = "embed"))]
        let open_default = || Self::read(Path::new(DEFAULT_FOLDER));
        folder.map_or_else(open_default, Self::read)
    }

    #[cfg(feature = "embed")]
    fn embedded() -> Self {
        let contents = Embedded::iter().filter_map(|path| {
            let bytes = match Embedded::get(&path)?.data {
                std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
            };
            Some((format!("/{path}"), bytes))
        });
        Self::collect(contents.collect())
    }

    /// Reads all files of a folder. There are none if the folder is missing.
    fn read(folder: &Path) -> Self {
        let mut contents = BTreeMap::new();
        if let Err(error) = read_folder(folder, "", &mut contents) {
            tracing::warn!(%error, folder = %folder.display(), "the site's files cannot be read");
        }
        let watched = std::env::var_os("LEPTOS_WATCH").map(|_| folder.to_owned());
        Self { watched, ..Self::collect(contents) }
    }

    fn collect(contents: BTreeMap<String, Bytes>) -> Self {
        let is_encoded = |path: &str| ENCODINGS.iter().any(|(_, end)| path.ends_with(&format!(".{end}")));
        let (mut files, mut digest) = (HashMap::new(), Sha256::new());
        for (path, plain) in contents.iter().filter(|(path, _)| !is_encoded(path)) {
            digest.update(path);
            digest.update(Sha256::digest(plain));
            let encoded = ENCODINGS.into_iter().filter_map(|(encoding, extension)| {
                Some((encoding, contents.get(&format!("{path}.{extension}"))?.clone()))
            });
            if let Some(file) = SiteFile::new(path, plain.clone(), encoded.collect()) {
                files.insert(path.clone(), file);
            }
        }
        Self { files, version: hex(&digest.finalize()), watched: None }
    }

    /// The prefix of the files' paths in pages. It changes with each version of the files, so that browsers can keep
    /// them forever.
    #[must_use]
    pub fn root(&self) -> String {
        if self.watched.is_some() { String::new() } else { format!("/assets/{}", self.version) }
    }

    /// The response to a request for a file; `None` if there is no such file. Below [`Self::root`], files never change.
    /// At their own paths, browsers revalidate them.
    pub(crate) fn respond(&self, request: &Request<Body>) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let (path, policy) = match request.uri().path().strip_prefix(&self.root()) {
            Some(path) if self.watched.is_none() => (path, "public, max-age=31536000, immutable"),
            _ => (request.uri().path(), "public, no-cache"),
        };
        let file = match &self.watched {
            Some(folder) => Self::read(folder).files.get(path).cloned(),
            None => self.files.get(path).cloned(),
        }?;
        let mut response = file.respond(request.headers());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(policy));
        Some(response)
    }
}

/// The first 16 bytes, in hexadecimal digits.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl SiteFile {
    fn new(path: &str, plain: Bytes, encoded: Vec<(&'static str, Bytes)>) -> Option<Self> {
        let content_type = mime_guess::from_path(path).first_or_octet_stream();
        Some(Self {
            content_type: HeaderValue::from_str(content_type.as_ref()).ok()?,
            etag: HeaderValue::from_str(&format!("\"{}\"", hex(&Sha256::digest(&plain)))).ok()?,
            plain,
            encoded,
        })
    }

    fn respond(self, headers: &HeaderMap) -> Response {
        if headers.get_all(IF_NONE_MATCH).iter().any(|known| *known == self.etag) {
            return (StatusCode::NOT_MODIFIED, [(ETAG, self.etag)]).into_response();
        }
        let encoded = self.encoded.into_iter().find(|(encoding, _)| accepts(headers, encoding));
        let mut response = Response::new(Body::empty());
        let mut insert = |name: HeaderName, value| response.headers_mut().insert(name, value);
        insert(CONTENT_TYPE, self.content_type);
        insert(ETAG, self.etag);
        insert(VARY, HeaderValue::from_static("accept-encoding"));
        let body = match encoded {
            Some((encoding, bytes)) => {
                insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
                bytes
            }
            None => self.plain,
        };
        *response.body_mut() = Body::from(body);
        response
    }
}

/// Whether the client accepts an encoding (RFC 9110, 12.5.3).
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_excluded = |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding)) && !parts.any(is_excluded)
    })
}

fn read_folder(folder: &Path, url: &str, contents: &mut BTreeMap<String, Bytes>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, url) = (entry.path(), format!("{url}/{}", entry.file_name().to_string_lossy()));
        if entry.file_type()?.is_dir() {
            read_folder(&path, &url, contents)?;
        } else {
            contents.insert(url, Bytes::from(fs::read(path)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, SiteFiles) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pkg")).unwrap();
        for (name, text) in
            [("pkg/a.js", "plain"), ("pkg/a.js.br", "brotli"), ("pkg/a.js.gz", "gzip"), ("b.svg", "<svg/>")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let files = SiteFiles::read(folder.path());
        (folder, files)
    }

    fn get(path: &str, headers: &[(HeaderName, &str)]) -> Request<Body> {
        let request = headers.iter().fold(Request::get(path), |it, (name, value)| it.header(name, *value));
        request.body(Body::empty()).unwrap()
    }

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_file_has_the_encoding_that_its_client_accepts() {
        let (_folder, files) = site();
        for (accepted, expected) in [
            ("", "plain"),
            ("gzip, deflate, br", "brotli"),
            ("GZIP;q=0.5", "gzip"),
            ("br;q=0, gzip", "gzip"),
            ("brotli", "plain"),
            ("*", "plain"),
        ] {
            let response = files.respond(&get("/pkg/a.js", &[(ACCEPT_ENCODING, accepted)])).unwrap();
            assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript");
            assert_eq!(response.headers()[VARY], "accept-encoding");
            assert_eq!(body(response).await, expected, "{accepted}");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_client_has_is_not_sent_again() {
        let (_folder, files) = site();
        let first = files.respond(&get("/b.svg", &[])).unwrap();
        assert_eq!(first.headers()[CONTENT_TYPE], "image/svg+xml");
        let etag = first.headers()[ETAG].to_str().unwrap();
        let second = files.respond(&get("/b.svg", &[(IF_NONE_MATCH, etag)])).unwrap();
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(body(second).await, "");
    }

    #[tokio::test]
    async fn below_the_root_of_this_version_files_never_change_and_elsewhere_they_are_revalidated() {
        let (folder, files) = site();
        let policy = |files: &SiteFiles, path: &str| {
            files.respond(&get(path, &[])).map(|response| response.headers()[CACHE_CONTROL].clone())
        };
        let path = format!("{}/pkg/a.js", files.root());
        assert_eq!(policy(&files, &path).unwrap(), "public, max-age=31536000, immutable");
        assert_eq!(policy(&files, "/pkg/a.js").unwrap(), "public, no-cache");
        fs::write(folder.path().join("pkg/a.js"), "changed").unwrap();
        let changed = SiteFiles::read(folder.path());
        assert_ne!(changed.root(), files.root());
        assert_eq!(policy(&changed, &path), None);
    }

    #[test]
    fn other_paths_and_methods_are_not_served() {
        let (_folder, files) = site();
        for path in ["/", "/pkg", "/pkg/", "/pkg/a.js.br", "/pkg/../b.svg", "/%2e%2e/b.svg", "/nope"] {
            assert!(files.respond(&get(path, &[])).is_none(), "{path}");
        }
        let post = Request::post("/b.svg").body(Body::empty()).unwrap();
        assert!(files.respond(&post).is_none());
        assert!(SiteFiles::read(Path::new("/nonexistent")).files.is_empty());
    }
}
