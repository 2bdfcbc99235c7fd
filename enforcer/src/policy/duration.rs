//! Durations as policies and commands write them: `10s`, `5min`, `2h`, `5d`.

use std::time::Duration;

use super::service::decimal;

/// The units, and how many seconds each has.
const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)];

/// The text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number with `s`, `min`, `h` or `d`, such as `30s`")]
pub struct InvalidDuration;

/// Reads a duration: one whole number and one unit.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let unit = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit.ok_or(InvalidDuration)?);
    let (_, seconds) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(InvalidDuration)?;
    let number = match number {
        "" => None,
        number => decimal::<u32>(number),
    };
    let number = number.ok_or(InvalidDuration)?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// A duration in whole seconds, in the greatest unit that has no remainder.
pub fn shown(duration: Duration) -> String {
    let total = duration.as_secs();
    let whole = |unit: &&(&str, u64)| total != 0 && total.is_multiple_of(unit.1);
    let (name, seconds) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
    format!("{}{name}", total / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        let cases = [
            ("10s", Ok(10)),
            ("0s", Ok(0)),
            ("90s", Ok(90)),
            ("5min", Ok(300)),
            ("2h", Ok(7_200)),
            ("5d", Ok(432_000)),
            ("", Err(InvalidDuration)),
            ("s", Err(InvalidDuration)),
            ("10", Err(InvalidDuration)),
            ("10m", Err(InvalidDuration)),
            ("10 s", Err(InvalidDuration)),
            ("-1s", Err(InvalidDuration)),
            ("010s", Err(InvalidDuration)),
            ("1.5h", Err(InvalidDuration)),
            ("1h30min", Err(InvalidDuration)),
            ("4294967296s", Err(InvalidDuration)),
        ];
        for (text, want) in cases {
            let got = parse(text);
            assert_eq!(got, want.map(Duration::from_secs), "{text:?}");
            if let Ok(duration) = got {
                assert_eq!(shown(duration), text);
            }
        }
    }
}
