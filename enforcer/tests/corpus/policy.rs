//! What must hold of any text as a policy.

use enforcer::compile::{Machine, Numbering, compile};
use enforcer::policy::{Source, parse};

/// Reads and compiles a policy; panics where the compiler contradicts itself.
/// Other panics, and never coming to an end, are found too.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let source = Source::from_text("corpus", text);
    let policy = match parse(&source) {
        Ok((policy, warnings)) => {
            warnings.render(&source);
            policy
        }
        Err(findings) => {
            assert!(findings.iter().next().is_some(), "refused for nothing");
            findings.render(&source);
            return;
        }
    };
    let machine = Machine::imagined(&policy);
    let image = |policy| compile(policy, &machine, &mut Numbering::default());
    match (image(&policy), image(&policy)) {
        (Ok(first), Ok(second)) => {
            assert!(
                first.blocks == second.blocks,
                "equal policies, other tables"
            );
            assert!(
                first.layout == second.layout,
                "equal policies, other layouts"
            );
        }
        (Err(first), Err(second)) => {
            assert_eq!(first.render(&source), second.render(&source));
        }
        _ => panic!("a policy compiles, or does not"),
    }
}
