//! README.md, ARCHITECTURE.md and SEMANTICS.md, held against the tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, mem};

use anyhow::Context;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| name.to_owned())
}

/// The folders of the workspace's crates, as the root manifest lists them.
fn members() -> anyhow::Result<BTreeSet<String>> {
    let manifest = read("Cargo.toml")?;
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.context("the workspace has members")?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whatever stands in backticks outside of code blocks, line by line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_block ^= fence;
            !fence && !in_block
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn the_architecture_names_every_crate_of_the_workspace() -> anyhow::Result<()> {
    let text = read("ARCHITECTURE.md")?;
    let named: BTreeSet<String> = quoted(&text).map(|path| path.trim_end_matches('/').to_owned()).collect();
    let missing: Vec<String> = members()?
        .into_iter()
        .filter(|path| !named.contains(path) && !text.contains(&format!("{path}/")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
    Ok(())
}

#[test]
fn every_path_that_the_architecture_names_exists() -> anyhow::Result<()> {
    let text = read("ARCHITECTURE.md")?;
    let top: BTreeSet<String> = fs::read_dir(root())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    // A word with a slash whose first part is a folder of the repository, or that ends with one, is a path.
    let words = text.split(|c: char| c.is_whitespace() || "`()[],;:│├└─".contains(c));
    let gone: Vec<&str> = words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.split_once('/').is_some_and(|(first, _)| top.contains(first)))
        .filter(|word| !word.contains(['*', '<', '{', '$']))
        .filter(|word| !root().join(word).exists())
        .collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names {gone:?}, which do not exist");
    Ok(())
}

#[test]
fn every_file_that_the_readme_links_to_exists() -> anyhow::Result<()> {
    let text = read("README.md")?;
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
    assert!(local.len() > 3, "links are found");
    let gone: Vec<&&str> = local.iter().filter(|link| !root().join(link).exists()).collect();
    assert!(gone.is_empty(), "README.md links to {gone:?}, which do not exist");
    Ok(())
}

#[test]
fn every_promise_of_the_semantics_ends_with_the_name_of_its_test() -> anyhow::Result<()> {
    let text = read("SEMANTICS.md")?;
    let promises = promises(&text);
    assert!(!promises.is_empty(), "SEMANTICS.md promises nothing");
    let tests = tests()?;
    let mut wrong = Vec::new();
    for promise in promises {
        // The last names of the item, of which there may be several: `one`, `another`.
        let names: Vec<&str> =
            promise.rsplit('`').skip(1).step_by(2).take_while(|name| is_name(name)).collect();
        let at_the_end = promise.trim_end_matches(['.', ')']).ends_with('`');
        if names.is_empty() || !at_the_end {
            wrong.push(format!("no test: {promise}"));
        }
        wrong.extend(
            names.iter().filter(|name| !tests.contains(**name)).map(|name| format!("no such test: {name}")),
        );
    }
    assert!(wrong.is_empty(), "SEMANTICS.md:\n{}", wrong.join("\n"));
    Ok(())
}

/// The list items of a document, each on one line.
fn promises(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut in_item = false;
    for line in text.lines() {
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            items.push(item.trim().to_owned());
            in_item = true;
        } else if line.starts_with("  ") && in_item && !line.trim().is_empty() {
            if let Some(item) = items.last_mut() {
                item.push(' ');
                item.push_str(line.trim());
            }
        } else {
            in_item = false;
        }
    }
    items
}

/// A test's name is a sentence: words in small letters, joined by underscores.
fn is_name(text: &str) -> bool {
    text.contains('_') && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The names of all tests of the workspace's crates, and of the Python tests.
fn tests() -> anyhow::Result<BTreeSet<String>> {
    let mut files = Vec::new();
    for member in members()? {
        collect(&root().join(member), &mut files)?;
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let python = file.extension().is_some_and(|extension| extension == "py");
        names.extend(if python { python_tests(&text) } else { rust_tests(&text) });
    }
    Ok(names)
}

fn python_tests(text: &str) -> Vec<String> {
    let functions = text.lines().filter_map(|line| line.strip_prefix("def ")?.split_once('('));
    functions.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("test_")).collect()
}

/// The functions with an attribute that makes them tests: `#[test]`, `#[tokio::test(…)]`.
fn rust_tests(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut test = false;
    for line in text.lines().map(str::trim) {
        let signature = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            test = true;
        } else if let Some((name, _)) = signature.and_then(|rest| rest.split_once('('))
            && mem::take(&mut test)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Every Rust and Python file below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            collect(&path, files)?;
        } else if matches!(extension, Some("rs" | "py")) {
            files.push(path);
        }
    }
    Ok(())
}
