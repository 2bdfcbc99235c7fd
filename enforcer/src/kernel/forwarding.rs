//! Whether this network namespace forwards packets, and for a while does not.

use std::fs;
use std::io;
use std::path::Path;

use super::error::KernelError;

/// The settings that decide about forwarding, and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// Below `/proc/sys`, those first that change others when they are written.
    settings: Vec<(String, String)>,
}

const ROOT: &str = "/proc/sys";

/// The kernel sets this one when IPv4 forwarding is switched.
const REDIRECTS: &str = "net/ipv4/conf/all/accept_redirects";

impl Forwarding {
    /// The settings of this moment.
    pub fn read() -> Result<Self, KernelError> {
        let mut general = Vec::new();
        let mut others = Vec::new();
        for family in ["ipv4", "ipv6"] {
            let folder = format!("net/{family}/conf");
            for device in names_in(&folder).map_err(failed)? {
                let name = format!("{folder}/{device}/forwarding");
                let Some(value) = read(&name).map_err(failed)? else {
                    continue;
                };
                match device.as_str() {
                    "all" => general.push((name, value)),
                    _ => others.push((name, value)),
                }
            }
        }
        let redirects = read(REDIRECTS).map_err(failed)?;
        general.extend(redirects.map(|value| (REDIRECTS.to_owned(), value)));
        general.extend(others);
        Ok(Self { settings: general })
    }

    /// Switches it off on every interface, and for those to come.
    pub fn switch_off() -> Result<(), KernelError> {
        let now = Self::read()?;
        for (name, _) in now.settings.iter().filter(|(name, _)| name != REDIRECTS) {
            // Also where it is off: interfaces may differ from what is general.
            write(name, "0").map_err(failed)?;
        }
        let left = Self::read()?;
        match left
            .settings
            .iter()
            .find(|(name, value)| is_on(name, value))
        {
            None => Ok(()),
            Some(_) => Err(failed(io::ErrorKind::ResourceBusy.into())),
        }
    }

    /// Sets everything as it was; interfaces that are gone stay so.
    pub fn restore(&self) -> Result<(), KernelError> {
        for (name, value) in &self.settings {
            if read(name).map_err(failed)?.is_some_and(|now| now != *value) {
                write(name, value).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// One setting on each line, for [`Forwarding::from_text`].
    pub fn to_text(&self) -> String {
        let lines = self.settings.iter();
        lines
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect()
    }

    /// What [`Forwarding::to_text`] has written; `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let setting = |line: &str| {
            let (name, value) = line.split_once(" = ")?;
            let is_ours = name.starts_with("net/") && !name.split('/').any(|part| part == "..");
            is_ours.then(|| (name.to_owned(), value.to_owned()))
        };
        let settings = text.lines().map(setting).collect::<Option<Vec<_>>>()?;
        (!settings.is_empty()).then_some(Self { settings })
    }
}

fn is_on(name: &str, value: &str) -> bool {
    name != REDIRECTS && value != "0"
}

/// Names in a folder of settings; none where the kernel lacks the family.
fn names_in(folder: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(Path::new(ROOT).join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The value of a setting; `None` for one that is gone.
fn read(name: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(Path::new(ROOT).join(name)) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(name: &str, value: &str) -> io::Result<()> {
    match fs::write(Path::new(ROOT).join(name), value) {
        Err(error) if !is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

fn failed(source: io::Error) -> KernelError {
    KernelError::System(
        "switch forwarding (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)",
        source,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let settings = [
            ("net/ipv4/conf/all/forwarding", "1"),
            ("net/ipv4/conf/eth0.5/forwarding", "0"),
        ];
        let forwarding = Forwarding {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        assert_eq!(
            Forwarding::from_text(&forwarding.to_text()),
            Some(forwarding)
        );
        for text in [
            "",
            "net/ipv4",
            "kernel/panic = 1",
            "net/../kernel/panic = 1",
        ] {
            assert_eq!(Forwarding::from_text(text), None, "{text:?}");
        }
    }
}
