//! What the operator wrote, with its places: literals read, names not yet
//! resolved, defaults not yet filled in.

use ipnet::IpNet;

use enforcer_common::essential::Essential;

use super::device::DeviceAst;
use super::limits::Limits;
use super::mac::Mac;
use super::model::{Action, Hook, Mode, State, Vlan};
use super::names::{ConduitId, InterfaceName};
use super::rate::Rate;
use super::service::{Literal, Service};
use super::source::Span;

/// A value and where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// One policy file.
#[derive(Debug, Default)]
pub struct Ast<'n> {
    pub name: Option<&'n str>,
    /// `defaults.mode`.
    pub mode: Option<Mode>,
    /// `defaults.intra_zone`.
    pub intra_zone: Option<Action>,
    /// `defaults.self_out`.
    pub self_out: Option<Action>,
    pub interfaces: Vec<(InterfaceName, Option<Hook>)>,
    /// Where `zones` is written, if there is nothing in it.
    pub no_zones: Option<Span>,
    pub zones: Vec<Zone<'n>>,
    pub devices: Vec<DeviceAst<'n>>,
    pub services: Vec<NamedService<'n>>,
    pub failsafe: Vec<Failsafe<'n>>,
    pub conduits: Vec<Conduit<'n>>,
    pub limits: Limits,
}

/// One zone; its name is not yet checked.
#[derive(Debug)]
pub struct Zone<'n> {
    pub name: Spanned<&'n str>,
    pub description: Option<&'n str>,
    pub entries: Vec<Entry>,
    pub intra_zone: Option<Action>,
    pub mode: Option<Mode>,
    pub essential_off: Vec<Essential>,
    pub state: Option<State>,
}

/// One `match` entry.
#[derive(Debug)]
pub struct Entry {
    pub interfaces: Vec<InterfaceName>,
    pub vlans: Vec<Vlan>,
    pub macs: Vec<Mac>,
    pub prefixes: Vec<IpNet>,
    pub span: Span,
}

/// A service under `services`; its name is not yet checked.
#[derive(Debug)]
pub struct NamedService<'n> {
    pub name: Spanned<&'n str>,
    pub services: Vec<Service>,
}

/// One failsafe entry.
#[derive(Debug)]
pub struct Failsafe<'n> {
    pub from: IpNet,
    pub services: Vec<Spanned<ServiceRef<'n>>>,
    pub interface: Option<InterfaceName>,
    pub span: Span,
}

/// One conduit.
#[derive(Debug)]
pub struct Conduit<'n> {
    pub id: Option<Spanned<ConduitId>>,
    pub from: Vec<Spanned<&'n str>>,
    pub to: Vec<Spanned<&'n str>>,
    pub services: Vec<Spanned<ServiceRef<'n>>>,
    pub action: Option<Action>,
    pub priority: Option<i16>,
    pub mode: Option<Mode>,
    pub rate: Option<Rate>,
    pub log: Option<bool>,
    pub reason: Option<&'n str>,
    pub owner: Option<&'n str>,
    pub span: Span,
}

/// A service as a conduit or failsafe gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceRef<'n> {
    Literal(Literal),
    Name(&'n str),
}
