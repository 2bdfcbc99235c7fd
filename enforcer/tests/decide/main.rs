//! An independent reading of policies and packets, held to tables of cases.

#[path = "../verdicts/frames.rs"]
mod frames;
#[path = "../verdicts/oracle.rs"]
mod oracle;
#[path = "../verdicts/oracle_packet.rs"]
mod oracle_packet;
#[path = "../verdicts/oracle_zones.rs"]
mod oracle_zones;
mod tables_packet;
mod tables_verdict;
#[path = "../verdicts/world.rs"]
mod world;
