//! The layers of `docs/architecture.md`: which file may import which, read from the `use` lines of both crates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files and what they import, by the paths of their modules: `server::store::sessions`.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// A module, and what it and its children must not import.
const FORBIDDEN: [(&str, &[&str]); 15] = [
    (
        "app::domain",
        &[
            "app::text",
            "app::view",
            "app::error",
            "app::routes",
            "app::backend",
            "app::components",
            "app::pages",
        ],
    ),
    ("app::error", &["app::text", "app::view"]),
    ("app::text", &["app::view", "app::components", "app::pages", "app::backend"]),
    ("app::view", &["app::components", "app::pages", "app::backend"]),
    ("app::server_fns", &["app::components", "app::pages", "app::islands"]),
    (
        "app::islands",
        &["app::components", "app::pages", "app::server_fns", "app::backend", "app::view", "app::error"],
    ),
    (
        "server::store",
        &["server::key_cache", "server::usage", "server::services", "server::http", "server::state"],
    ),
    (
        "server::usage",
        &["server::key_cache", "server::runtimes", "server::services", "server::http", "server::state"],
    ),
    (
        "server::key_cache",
        &["server::runtimes", "server::services", "server::http", "server::state", "server::commands"],
    ),
    ("server::runtimes", &["server::services", "server::http", "server::state", "server::commands"]),
    ("server::services", &["server::http", "server::state", "server::commands"]),
    ("server::state", &["server::http", "server::commands"]),
    ("server::http", &["server::commands"]),
    ("server::ids", &["server::store", "server::state"]),
    ("server::secret", &["server::store", "server::state"]),
];

fn files(folder: &Path, module: &str, found: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files(&path, &format!("{module}::{name}"), found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let is_root = ["mod", "lib", "main"].contains(&name.as_str());
            found.push((if is_root { module.to_owned() } else { format!("{module}::{name}") }, path));
        }
    }
}

/// The paths of a `use` tree: `a::{b, c::{self, d}}` names `a::b`, `a::c` and `a::c::d`.
fn paths(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    match tree.find('{') {
        None => {
            let name = tree.split(" as ").next().unwrap().trim();
            found.push(format!("{prefix}{}", name.strip_suffix("::self").unwrap_or(name)));
        }
        Some(open) => {
            let prefix = format!("{prefix}{}", &tree[..open]);
            let (mut depth, mut start) = (0, open + 1);
            for (at, character) in tree.char_indices().skip(open) {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if (character == ',' && depth == 1) || (character == '}' && depth == 0) {
                    if !tree[start..at].trim().is_empty() {
                        paths(&tree[start..at], &prefix, found);
                    }
                    start = at + 1;
                }
            }
        }
    }
}

/// What a file imports of the project, without its tests.
fn imported(module: &str, is_root: bool, text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let krate = module.split("::").next().unwrap();
    let parent = if is_root { module } else { module.rsplit_once("::").map_or(module, |(parent, _)| parent) };
    let mut found = Vec::new();
    // `pub use` of a file's own children is its face, and no import.
    for statement in text.split("\nuse ").skip(1) {
        paths(statement.split(';').next().unwrap(), "", &mut found);
    }
    let absolute = |path: String| match path.split_once("::") {
        Some(("crate", rest)) => format!("{krate}::{rest}"),
        Some(("self", rest)) => format!("{module}::{rest}"),
        Some(("super", rest)) => {
            format!("{}::{rest}", if is_root { module.rsplit_once("::").unwrap().0 } else { parent })
        }
        // A child of this file, or another crate.
        _ if is_root && !path.starts_with("app::") => format!("{module}::{path}"),
        _ => path,
    };
    found.into_iter().map(absolute).collect()
}

/// The imports of both crates, each resolved to the file that it names.
fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    files(&root.join("app/src"), "app", &mut found);
    files(&root.join("server/src"), "server", &mut found);
    let modules: BTreeSet<String> = found.iter().map(|(module, _)| module.clone()).collect();
    let resolve = |path: &str| {
        let mut path = path;
        loop {
            if modules.contains(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut imports = Imports::new();
    for (module, path) in found {
        let is_root = path.ends_with("mod.rs") || path.ends_with("lib.rs") || path.ends_with("main.rs");
        let text = fs::read_to_string(&path).unwrap();
        let targets = imported(&module, is_root, &text).into_iter().filter_map(|path| resolve(&path));
        // The root of a crate declares modules and re-exports; nothing depends on it.
        let targets = targets.filter(|target| *target != module && target.contains("::"));
        let targets: BTreeSet<_> = targets.collect();
        imports.entry(module).or_default().extend(targets);
    }
    imports
}

fn is_within(module: &str, of: &str) -> bool {
    module == of || module.strip_prefix(of).is_some_and(|rest| rest.starts_with("::"))
}

/// The files that can be reached from this one.
fn reached<'i>(from: &'i str, imports: &'i Imports, seen: &mut BTreeSet<&'i str>) {
    for target in imports.get(from).into_iter().flatten() {
        if seen.insert(target) {
            reached(target, imports, seen);
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports();
    assert!(imports.len() > 100, "{}", imports.len());
    let mut circles = BTreeSet::new();
    for (module, targets) in &imports {
        for target in targets {
            let mut seen = BTreeSet::new();
            reached(target, &imports, &mut seen);
            if seen.contains(module.as_str()) {
                circles.insert(format!("{module} -> {target}"));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_layer_imports_one_above_it() {
    let imports = imports();
    let mut wrong = Vec::new();
    for (layer, forbidden) in FORBIDDEN {
        for (module, targets) in imports.iter().filter(|(module, _)| is_within(module, layer)) {
            let above =
                targets.iter().filter(|target| forbidden.iter().any(|above| is_within(target, above)));
            wrong.extend(above.map(|target| format!("{module} -> {target}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
