//! `tap-vtep ipam`: subnets and addresses out of a pool file.

mod bar;
mod check;
pub(crate) mod cli;
mod edit;
mod file;
mod grants;
mod history;
mod init;
mod list;
mod output;
mod plan;
mod pool;
mod row;
mod time;

use std::io;

use ipam::journal::{JournalError, OpenError};
use thiserror::Error;

use self::{cli::IpamCommand, init::InitError, pool::PoolError};
use crate::{STATUS_FAILED, STATUS_USAGE};

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum IpamError {
    /// The file can't be opened, made, read or written.
    #[error("{file}: {error}")]
    File { file: String, error: OpenError },
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error("{name} is not within the pool, and nobody had it")]
    Outside { name: String },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl IpamError {
    /// The exit status: wrong input, or a failure at run time.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::File { error: OpenError::Exists, .. } | Self::Outside { .. } => STATUS_USAGE,
            Self::File { error: OpenError::Journal(JournalError::Disk(error)), .. }
                if error.kind == io::ErrorKind::NotFound =>
            {
                STATUS_USAGE
            }
            Self::File { .. } | Self::Output(_) | Self::Init(InitError::Seed(_)) => STATUS_FAILED,
            Self::Pool(error) => error.status(),
            Self::Init(_) => STATUS_USAGE,
        }
    }
}

/// Does what a command says; whether all is well is the answer of `check` and `plan`.
pub(crate) fn run(command: &IpamCommand) -> Result<bool, IpamError> {
    match command {
        IpamCommand::Init(options) => init::init(options).map(|()| true),
        IpamCommand::Allocate(options) => grants::allocate(options).map(|()| true),
        IpamCommand::Claim { file, target, owner, node, patience } => {
            grants::claim(file, target.0, owner.as_deref(), node.as_deref(), *patience).map(|()| true)
        }
        IpamCommand::Release(options) => grants::release(options).map(|()| true),
        IpamCommand::List { file, owner, format } => list::list(file, owner.as_deref(), format.json).map(|()| true),
        IpamCommand::History { file, target, format } => history::history(file, target.0, format.json).map(|()| true),
        IpamCommand::Check { file, format } => check::check(file, format.json),
        IpamCommand::Plan { file, changes, apply, format, patience } => {
            plan::plan(file, &changes.0, apply.then_some(*patience), format.json)
        }
    }
}
