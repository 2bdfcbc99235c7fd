//! Privileges, the kernel and its file systems.

use super::{Facts, Finding, bad, good, warning};

/// What follows from the facts about them.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let always = [
        privileges(facts),
        kernel(facts),
        egress(facts),
        pins(facts),
        btf(facts),
    ];
    let sometimes = [
        memlock(facts),
        jit(facts),
        hardening(facts),
        unprivileged(facts),
        lockdown(facts),
    ];
    always
        .into_iter()
        .chain(sometimes.into_iter().flatten())
        .collect()
}

fn privileges(facts: &Facts) -> Finding {
    const ABOUT: &str = "privileges";
    match &facts.missing_capabilities {
        Some(missing) if missing.is_empty() => good(ABOUT, "all that are needed"),
        Some(missing) => bad(
            ABOUT,
            format!("without {}", missing.join(", ")),
            "run enforcer with sudo",
        ),
        None => warning(ABOUT, "cannot be read", "mount /proc"),
    }
}

fn kernel(facts: &Facts) -> Finding {
    let release = &facts.release;
    match facts.version >= (5, 15) {
        true => good("kernel", format!("Linux {release}")),
        false => bad(
            "kernel",
            format!("Linux {release} is too old"),
            "use Linux 5.15 or later",
        ),
    }
}

fn egress(facts: &Facts) -> Finding {
    match facts.version >= (6, 6) {
        true => good("TC egress", "by tcx links"),
        false => good("TC egress", "by a clsact filter, as before Linux 6.6"),
    }
}

fn pins(facts: &Facts) -> Finding {
    let folder = facts.pins.folder.display();
    match (&facts.pins.problem, &facts.pins.mounted) {
        (Some(problem), _) => bad("pins", problem, "do as it says, then apply"),
        (None, Some(mounted)) => good("pins", format!("{folder} is usable ({mounted})")),
        (None, None) => good("pins", format!("{folder} is usable")),
    }
}

fn btf(facts: &Facts) -> Finding {
    match facts.has_btf {
        true => good("BTF", "the kernel has it"),
        false => good("BTF", "the kernel has none; enforcer does not need it"),
    }
}

/// Before Linux 5.11 maps counted as locked memory of the process.
fn memlock(facts: &Facts) -> Option<Finding> {
    let limit = facts.memlock.filter(|_| facts.version < (5, 11))?;
    Some(warning(
        "locked memory",
        format!(
            "limited to {} KiB, which maps soon exceed on this kernel",
            limit >> 10
        ),
        "ulimit -l unlimited",
    ))
}

fn jit(facts: &Facts) -> Option<Finding> {
    // Only the first network namespace shows it.
    Some(match facts.jit? {
        0 => warning(
            "JIT",
            "off, programs are interpreted: many times slower",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        _ => good("JIT", "on"),
    })
}

fn hardening(facts: &Facts) -> Option<Finding> {
    match facts.jit_harden? {
        2 => Some(warning(
            "JIT hardening",
            "on for root's programs too, which slows them down",
            "sysctl -w net.core.bpf_jit_harden=1, which still covers other users",
        )),
        _ => None,
    }
}

fn unprivileged(facts: &Facts) -> Option<Finding> {
    Some(match facts.unprivileged_disabled? {
        0 => warning(
            "unprivileged BPF",
            "every user may load programs",
            "sysctl -w kernel.unprivileged_bpf_disabled=2",
        ),
        _ => good("unprivileged BPF", "off"),
    })
}

fn lockdown(facts: &Facts) -> Option<Finding> {
    let mode = facts.lockdown.as_ref()?;
    Some(good(
        "lockdown",
        format!("{mode}; XDP and TC programs are allowed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Bad, Good, Warning};
    use super::super::tests::{about, expect, fine};

    #[test]
    fn privileges_and_kernel_are_explained() {
        let mut facts = fine();
        facts.missing_capabilities = Some(vec!["CAP_BPF"]);
        expect(&facts, "privileges", Bad, &["CAP_BPF", "sudo"]);
        facts.missing_capabilities = None;
        expect(&facts, "privileges", Warning, &["/proc"]);
        facts.release = "5.10.9".to_owned();
        facts.version = (5, 10);
        expect(&facts, "kernel", Bad, &["5.10.9", "5.15"]);
        expect(&facts, "locked memory", Warning, &["8192 KiB", "ulimit"]);
        facts.memlock = None;
        assert!(about(&facts, "locked memory").is_empty());
        assert!(about(&facts, "TC egress")[0].1.contains("clsact"));
    }

    #[test]
    fn pins_name_what_is_wrong_with_them() {
        let mut facts = fine();
        assert!(about(&facts, "pins")[0].1.contains("mode=700"));
        facts.pins.problem = Some("/sys/fs/bpf is not a BPF file system".to_owned());
        expect(&facts, "pins", Bad, &["not a BPF file system"]);
    }

    #[test]
    fn settings_of_the_kernel_are_explained() {
        let mut facts = fine();
        facts.jit = Some(0);
        facts.jit_harden = Some(2);
        facts.unprivileged_disabled = Some(0);
        facts.has_btf = false;
        expect(&facts, "JIT", Warning, &["bpf_jit_enable=1"]);
        expect(&facts, "JIT hardening", Warning, &["bpf_jit_harden=1"]);
        expect(
            &facts,
            "unprivileged BPF",
            Warning,
            &["unprivileged_bpf_disabled=2"],
        );
        assert_eq!(about(&facts, "BTF")[0].0, Good);
        facts.lockdown = Some("integrity".to_owned());
        assert!(about(&facts, "lockdown")[0].1.contains("integrity"));
    }
}
