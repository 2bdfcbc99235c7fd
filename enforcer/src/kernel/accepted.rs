//! What older kernels refuse, looked for in the object itself.
//!
//! `cargo xtask vm-test` asks those kernels; this tells at once.

use std::collections::BTreeSet;

use aya_obj::Function;
use aya_obj::generated::bpf_insn;

use super::object::BYTES;

/// Linux 5.15 has the helpers up to `bpf_task_pt_regs` (`linux/bpf.h`).
const HELPERS: i32 = 175;

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const GOTO: u8 = 0x05;
const LOAD_WIDE: u8 = 0x18;
const JUMPS: [u8; 2] = [5, 6];

#[test]
fn the_oldest_kernel_has_every_helper() {
    let helpers: BTreeSet<i32> = functions()
        .iter()
        .flat_map(|it| &it.instructions)
        .filter(|it| it.code == CALL && it.src_reg() == 0)
        .map(|it| it.imm)
        .collect();
    assert!(!helpers.is_empty());
    assert!(helpers.iter().all(|id| *id <= HELPERS), "{helpers:?}");
}

/// Linux 6.1 wants every loop closed by a jump; 6.12 does not care.
#[test]
fn no_loop_is_closed_by_falling_into_its_start() {
    for function in functions() {
        let found = closed_by_falling(&function.instructions);
        let lines: Vec<_> = found.iter().map(|at| place(&function, *at)).collect();
        let name = &function.name;
        assert!(found.is_empty(), "{name} at {found:?}, lines {lines:?}");
    }
}

fn functions() -> Vec<Function> {
    let object = aya_obj::Object::parse(BYTES).unwrap();
    object.functions.into_values().collect()
}

/// Instructions, none of them a jump, from which a way falls into the start of
/// a loop that it is in.
fn closed_by_falling(code: &[bpf_insn]) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut open, mut done) = (BTreeSet::new(), BTreeSet::new());
    // The way from the start, each instruction with those that are still to
    // be tried after it.
    let mut way = vec![(0, after(code, 0))];
    open.insert(0);
    while let Some((at, next)) = way.last_mut() {
        let at = *at;
        let Some((to, is_jump)) = next.pop() else {
            open.remove(&at);
            done.insert(at);
            way.pop();
            continue;
        };
        if open.contains(&to) {
            if !is_jump {
                found.push(at);
            }
        } else if !done.contains(&to) {
            open.insert(to);
            way.push((to, after(code, to)));
        }
    }
    found
}

/// Where an instruction leads, and whether by a jump.
fn after(code: &[bpf_insn], at: usize) -> Vec<(usize, bool)> {
    let instruction = &code[at];
    let target = at.wrapping_add_signed(instruction.off as isize + 1);
    match instruction.code {
        EXIT => vec![],
        GOTO => vec![(target, true)],
        LOAD_WIDE => vec![(at + 2, false)],
        CALL => vec![(at + 1, false)],
        other if JUMPS.contains(&(other & 7)) => vec![(at + 1, true), (target, true)],
        _ => vec![(at + 1, false)],
    }
}

/// Line of the source that an instruction comes from; the file is not told.
fn place(function: &Function, at: usize) -> u32 {
    let lines = function.line_info.line_info.iter();
    let mut before = lines.filter(|it| it.insn_off as usize <= at);
    before.next_back().map_or(0, |it| it.line_col >> 10)
}
