//! What the policy language accepts and what it says about mistakes.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the expected output anew;
//! read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use enforcer::policy::{self, Source};
use proptest::prelude::*;

#[test]
fn mistakes_are_explained() {
    let mut golden = Golden::default();
    for path in policies("bad") {
        let source = source(&path);
        match policy::parse(&source) {
            Ok(_) => golden.wrong.push(format!("{} is accepted", path.display())),
            Err(findings) => golden.compare(&path, &findings.render(&source)),
        }
    }
    golden.finish();
}

#[test]
fn valid_policies_are_accepted() {
    let mut golden = Golden::default();
    for path in policies("ok") {
        let source = source(&path);
        match policy::parse(&source) {
            Ok((_, warnings)) if warnings.is_empty() => {}
            Ok((_, warnings)) => golden.compare(&path, &warnings.render(&source)),
            Err(findings) => golden.wrong.push(findings.render(&source)),
        }
    }
    golden.finish();
}

#[test]
fn the_examples_are_beyond_reproach() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder of examples is there") {
        let path = entry.expect("the folder is readable").path();
        let source = source(&path);
        let findings = match policy::parse(&source) {
            Ok((_, warnings)) => warnings,
            Err(findings) => findings,
        };
        assert!(findings.is_empty(), "{}", findings.render(&source));
        count += 1;
    }
    assert!(count >= 2, "{count} examples");
}

#[test]
fn no_expected_output_is_left_over() {
    for path in files("bad", "txt").into_iter().chain(files("ok", "txt")) {
        let policy = path.with_extension("yaml");
        assert!(policy.exists(), "{} belongs to no policy", path.display());
    }
}

#[test]
fn json_tells_the_same_as_text() {
    for path in policies("bad") {
        let source = source(&path);
        let findings = policy::parse(&source).unwrap_err();
        let json = findings.to_json(&source);
        let records = json.as_array().unwrap();
        assert_eq!(records.len(), findings.len(), "{}", path.display());
        for (record, finding) in records.iter().zip(&findings) {
            assert_eq!(
                record["message"],
                finding.kind.to_string(),
                "{}",
                path.display()
            );
            let line = source.position(finding.span.start).line;
            assert_eq!(record["line"], line, "{}", path.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_policies_never_panic(policy in any_policy(), damage in damage()) {
        let mut bytes = policy;
        for damage in damage {
            damage.apply(&mut bytes);
        }
        let source = Source::from_text("damaged.yaml", String::from_utf8_lossy(&bytes));
        let findings = match policy::parse(&source) {
            Ok((_, warnings)) => warnings,
            Err(findings) => findings,
        };
        findings.render(&source);
        findings.to_json(&source);
    }
}

/// Compares output with the `.txt` beside a policy.
#[derive(Default)]
struct Golden {
    wrong: Vec<String>,
}

impl Golden {
    fn compare(&mut self, policy: &Path, got: &str) {
        let path = policy.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, got).expect("the folder of the tests is writable");
            return;
        }
        match fs::read_to_string(&path) {
            Ok(want) if want == got => {}
            Ok(want) => self
                .wrong
                .push(format!("{}: want\n{want}\ngot\n{got}", path.display())),
            Err(error) => self
                .wrong
                .push(format!("{}: {error}; got\n{got}", path.display())),
        }
    }

    fn finish(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// One accident to a file; positions are fractions of its length, in 65536ths.
#[derive(Clone, Debug)]
enum Damage {
    Flip(u16, u8),
    Insert(u16, char),
    Truncate(u16),
    RepeatLine(u16, u16),
    RemoveLine(u16),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let lines: Vec<Vec<u8>> = bytes
            .split_inclusive(|&byte| byte == b'\n')
            .map(Vec::from)
            .collect();
        match *self {
            Self::Flip(at, bit) => {
                let at = scaled(at, bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Insert(at, c) => {
                let at = scaled(at, bytes.len());
                bytes.splice(at..at, c.to_string().into_bytes());
            }
            Self::Truncate(at) => bytes.truncate(scaled(at, bytes.len())),
            Self::RepeatLine(from, to) if !lines.is_empty() => {
                let mut repeated = lines.clone();
                let line = lines[scaled(from, lines.len())].clone();
                repeated.insert(scaled(to, lines.len()), line);
                *bytes = repeated.concat();
            }
            Self::RemoveLine(at) if !lines.is_empty() => {
                let mut fewer = lines;
                fewer.remove(scaled(at, fewer.len()));
                *bytes = fewer.concat();
            }
            Self::RepeatLine(..) | Self::RemoveLine(_) => {}
        }
    }
}

fn scaled(fraction: u16, length: usize) -> usize {
    usize::from(fraction) * length / (usize::from(u16::MAX) + 1)
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let syntax = prop::sample::select(
        "{}[]:,-#&*!|>'\"%@` \t\n\r\0~?ä\u{feff}\u{85}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let one = prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<u16>(), syntax).prop_map(|(at, c)| Damage::Insert(at, c)),
        any::<u16>().prop_map(Damage::Truncate),
        (any::<u16>(), any::<u16>()).prop_map(|(from, to)| Damage::RepeatLine(from, to)),
        any::<u16>().prop_map(Damage::RemoveLine),
    ];
    prop::collection::vec(one, 1..6)
}

fn any_policy() -> impl Strategy<Value = Vec<u8>> {
    let all = policies("ok").into_iter().chain(policies("bad"));
    prop::sample::select(
        all.map(|path| fs::read(path).expect("a policy of the tests is readable"))
            .collect::<Vec<_>>(),
    )
}

/// The policy at `path`, under a name that is the same on every machine.
fn source(path: &Path) -> Source {
    let name = path.file_name().expect("a file has a name");
    let text = fs::read_to_string(path).expect("a policy of the tests is readable");
    Source::from_text(name, text)
}

fn policies(folder: &str) -> Vec<PathBuf> {
    let found = files(folder, "yaml");
    assert!(!found.is_empty(), "tests/data/{folder} holds no policies");
    found
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(folder);
    let entries = fs::read_dir(folder).expect("the folder of the tests is there");
    let paths = entries.map(|entry| entry.expect("the folder is readable").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}
