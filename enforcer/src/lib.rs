//! `enforcer`: network segmentation by eBPF.
//!
//! A policy file becomes tables ([`policy`], [`compile`]), and the tables become
//! what XDP and TC programs judge every packet by ([`kernel`]). The
//! [`controller`] puts one policy in place of another: staged, activated by one
//! store, then swept. The [`daemon`] follows changes of the machine, and is not
//! needed for what is in force. Only [`cli`] prints.

pub mod cli;
pub mod compile;
pub mod controller;
pub mod daemon;
pub mod kernel;
pub mod policy;
