//! The kernel programs inside this executable, and how they get into the kernel.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use aya::maps::{Map, MapData};
use aya::programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use enforcer_common::control::DropTable;
use enforcer_common::counter::Addition;
use enforcer_common::layout::HALF_WORDS;

use super::btf;
use super::clock;
use super::error::{KernelError, is_denied};
use super::maps::{Capacity, Maps};
use super::shape::Shape;
use super::sys;

/// Judges what comes in; the name of the program and of its pin.
pub const XDP: &str = "enforcer_xdp";
/// Judges what comes in where XDP cannot; the name of the program and of its pin.
pub const INGRESS: &str = "enforcer_ingress";
/// Judges what goes out; the name of the program and of its pin.
pub const EGRESS: &str = "enforcer_egress";
/// Hands the source zone over from TC ingress to TC egress; the name of the program
/// and of its pin.
pub const HANDOVER: &str = "enforcer_handover";
/// Tells the time in timer ticks; the name of the program and of its pin.
pub const TICKS: &str = "enforcer_ticks";
/// Adds to counters that count already.
const ADD: &str = "enforcer_add";
/// The programs that judge packets.
const JUDGING: [&str; 4] = [XDP, INGRESS, EGRESS, HANDOVER];
/// Passes everything: the zero of benchmarks.
const EMPTY: &str = "enforcer_empty";

pub(super) static BYTES: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/enforcer.o"));

/// Programs and maps that are in the kernel, and stay there for as long as this
/// value or a pin of them does.
pub struct Object {
    ebpf: Ebpf,
}

/// A number for the programs inside this executable: other programs, another
/// number (FNV-1a, 64 bits).
pub fn build() -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    BYTES.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Creates maps of the given capacity and loads the programs.
///
/// Each of `reused` is a map that exists already, by the path of its pin; it
/// must have the right shape.
pub fn load(
    capacity: &Capacity,
    reused: &[(&'static str, PathBuf)],
) -> Result<Object, KernelError> {
    let mut bytes = BYTES.to_vec();
    let half_words = capacity.blocks * HALF_WORDS;
    btf::patch(&mut bytes, half_words).map_err(KernelError::BadObject)?;
    let mask = half_words - 1;

    let mut loader = EbpfLoader::new();
    loader
        .override_global("TABLE_MASK", &mask, true)
        .map_max_entries(Shape::CONDUITS.name, capacity.slots)
        .map_max_entries(Shape::RATES.name, capacity.slots)
        .map_max_entries(Shape::FLOWS.name, capacity.flows)
        .map_max_entries(Shape::FLOWS_NEW.name, capacity.flows_new)
        .map_max_entries(
            Shape::DROPS.name,
            DropTable::for_zones(capacity.zones).cells(),
        );
    for (name, path) in reused {
        loader.map_pin_path(name, path.as_path());
    }
    let ebpf = loader.load(&bytes).map_err(unloaded)?;
    let mut object = Object { ebpf };
    object.verify()?;
    object.check_names()?;
    Ok(object)
}

impl Object {
    /// Loads the judging programs side by side: the verifier takes most of the
    /// time of a first apply, and each program on its own. The one that tells
    /// the time is loaded at once.
    fn verify(&mut self) -> Result<(), KernelError> {
        let ticks: &mut Xdp = self.program(TICKS)?;
        ticks.load().map_err(|error| refused(TICKS, error))?;
        let found = self.ebpf.programs_mut().filter_map(|(name, program)| {
            let name = JUDGING.into_iter().find(|judging| *judging == name)?;
            Some((name, program))
        });
        let found: BTreeMap<&'static str, &mut Program> = found.collect();
        if let Some(missing) = JUDGING.iter().find(|name| !found.contains_key(*name)) {
            return Err(KernelError::Incomplete(missing));
        }
        thread::scope(|scope| {
            let load = |(name, program)| scope.spawn(move || verified(name, program));
            let started: Vec<_> = found.into_iter().map(load).collect();
            let mut loaded = started.into_iter();
            loaded.try_for_each(|one| one.join().expect("loading does not panic"))
        })
    }

    /// The loader takes any refusal of names or types for the limit of an old
    /// kernel, and goes on without.
    fn check_names(&mut self) -> Result<(), KernelError> {
        for shape in &Shape::ALL {
            let info = sys::map_info(self.map(shape)?.fd().as_fd());
            let info = info.map_err(|source| KernelError::Map {
                action: "examine",
                map: shape.name,
                source,
            })?;
            // The kernel keeps no types of a ring buffer, which has no keys.
            let is_untyped = info.btf_id == 0 && info.key_size != 0;
            if is_untyped || info.name[0] == 0 {
                return Err(KernelError::Nameless(shape.name));
            }
        }
        for name in JUDGING {
            let program = self.ebpf.program(name);
            let program = program.ok_or(KernelError::Incomplete(name))?;
            let info = program.info().map_err(|error| refused(name, error))?;
            if info.name().is_empty() {
                return Err(KernelError::Nameless(name));
            }
        }
        Ok(())
    }

    /// The XDP program.
    pub fn xdp(&mut self) -> Result<&mut Xdp, KernelError> {
        self.program(XDP)
    }

    /// The TC ingress program.
    pub fn ingress(&mut self) -> Result<&mut SchedClassifier, KernelError> {
        self.program(INGRESS)
    }

    /// The TC egress program.
    pub fn egress(&mut self) -> Result<&mut SchedClassifier, KernelError> {
        self.program(EGRESS)
    }

    /// An XDP program that passes everything.
    pub fn empty(&mut self) -> Result<&mut Xdp, KernelError> {
        let empty: &mut Xdp = self.program(EMPTY)?;
        match empty.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(self.program(EMPTY)?),
            Err(error) => Err(refused(EMPTY, error)),
        }
    }

    /// Loads every program, also those that `apply` leaves out, and tells how
    /// many instructions the verifier followed; `None` before Linux 5.16.
    pub fn verified(&mut self) -> Result<Vec<(String, Option<u32>)>, KernelError> {
        let mut verified = Vec::new();
        for (name, program) in self.ebpf.programs_mut() {
            let loaded = match program {
                Program::Xdp(program) => program.load(),
                Program::SchedClassifier(program) => program.load(),
                _ => return Err(KernelError::Incomplete("a program of another kind")),
            };
            match loaded {
                Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
                Err(source) => return Err(unloaded(source.into())),
            }
            let info = program.info().map_err(|source| unloaded(source.into()))?;
            verified.push((name.to_owned(), info.verified_instruction_count()));
        }
        Ok(verified)
    }

    /// Now, in timer ticks since boot (`jiffies_64`).
    pub fn now_ticks(&mut self) -> Result<u64, KernelError> {
        clock::now_ticks(self.program(TICKS)?)
    }

    /// Adds to counters, while programs may count in them.
    pub(super) fn add(&mut self, additions: &[Addition]) -> Result<(), KernelError> {
        let add: &mut Xdp = self.program(ADD)?;
        match add.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(refused(ADD, error)),
        }
        for addition in additions {
            let frame = bytes_of(addition);
            let run = add.test_run(TestRunOptions {
                data_in: Some(&frame),
                ..TestRunOptions::new()
            });
            run.map_err(|source| KernelError::Program {
                program: ADD,
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    /// The maps, which this takes out of the object.
    pub fn take_maps(&mut self) -> Result<Maps, KernelError> {
        Maps::of(|shape| {
            let map = self.ebpf.take_map(shape.name);
            match map.ok_or(KernelError::Incomplete(shape.name))? {
                Map::Array(map)
                | Map::PerCpuArray(map)
                | Map::LruHashMap(map)
                | Map::RingBuf(map) => Ok(map),
                _ => Err(KernelError::Incomplete(shape.name)),
            }
        })
    }

    /// Pins programs and maps in a folder.
    pub(super) fn pin(&mut self, folder: &Path) -> Result<(), KernelError> {
        let failed = |name: &str, source: aya::pin::PinError| KernelError::Pin {
            action: "pin",
            path: folder.join(name),
            source: std::io::Error::other(source),
        };
        for shape in &Shape::ALL {
            let map = self.map(shape)?;
            let pinned = map.pin(folder.join(shape.name));
            pinned.map_err(|source| failed(shape.name, source))?;
        }
        for name in JUDGING.into_iter().chain([TICKS]) {
            let program = self.ebpf.program_mut(name);
            let program = program.ok_or(KernelError::Incomplete(name))?;
            let pinned = program.pin(folder.join(name));
            pinned.map_err(|source| failed(name, source))?;
        }
        Ok(())
    }

    fn map(&self, shape: &Shape) -> Result<&MapData, KernelError> {
        match self.ebpf.map(shape.name) {
            Some(
                Map::Array(map) | Map::PerCpuArray(map) | Map::LruHashMap(map) | Map::RingBuf(map),
            ) => Ok(map),
            _ => Err(KernelError::Incomplete(shape.name)),
        }
    }

    fn program<'o, P>(&'o mut self, name: &'static str) -> Result<&'o mut P, KernelError>
    where
        &'o mut P: TryFrom<&'o mut Program>,
    {
        typed(name, self.ebpf.program_mut(name))
    }
}

fn bytes_of(addition: &Addition) -> Vec<u8> {
    [
        &addition.map.to_ne_bytes()[..],
        &addition.index.to_ne_bytes(),
        &addition.packets.to_ne_bytes(),
        &addition.bytes.to_ne_bytes(),
    ]
    .concat()
}

fn verified(name: &'static str, program: &mut Program) -> Result<(), KernelError> {
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => return Err(KernelError::Incomplete(name)),
    };
    loaded.map_err(|error| refused(name, error))
}

fn typed<'o, P>(
    name: &'static str,
    program: Option<&'o mut Program>,
) -> Result<&'o mut P, KernelError>
where
    &'o mut P: TryFrom<&'o mut Program>,
{
    let program = program.and_then(|program| program.try_into().ok());
    program.ok_or(KernelError::Incomplete(name))
}

const LOADING: &str = "loading kernel programs";

fn unloaded(error: EbpfError) -> KernelError {
    KernelError::Load(Box::new(error)).permission(LOADING)
}

fn refused(program: &'static str, error: ProgramError) -> KernelError {
    match error {
        // Without a word from the verifier it never saw the program.
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } if is_denied(&io_error) && verifier_log.to_string().trim().is_empty() => {
            KernelError::NotPermitted { action: LOADING }
        }
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => KernelError::Refused {
            program,
            refusal: io_error,
            log: verifier_log.to_string(),
        },
        other => KernelError::Program {
            program,
            source: Box::new(other),
        },
    }
}
