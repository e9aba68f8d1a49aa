//! Whose a credential is: the one place that writes and reads the names and tags of NATS users.

use crate::accounts::{AccountName, Program, Role};
use std::fmt;
use std::str::FromStr;
use watchkeeper_schemas::ids::{HostId, ReaderName, Shard, TeamId};

/// Whose a credential is. Its name is written with dots, which no id holds, so that no two holders share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// One of our programs.
    Program(Program),
    /// The agent of a host.
    Agent {
        /// The host's team.
        team: TeamId,
        /// The host.
        host: HostId,
    },
    /// A program of others, which hears a team's public feed.
    Reader {
        /// The team.
        team: TeamId,
        /// The program.
        name: ReaderName,
    },
    /// Development: the simulated hosts of a team.
    Fleet {
        /// The team.
        team: TeamId,
    },
}

/// A name that no credential of ours has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a holder: expected agent.<team>.<host>, reader.<team>.<name>, fleet.<team> or a program"
)]
pub struct UnknownHolder(String);

impl Holder {
    /// The account it belongs to.
    #[must_use]
    pub fn account(&self) -> AccountName {
        match self {
            Self::Program(program) => program.account(),
            Self::Agent { team, .. } | Self::Fleet { team } => AccountName::Agents(team.clone()),
            Self::Reader { .. } => AccountName::Readers,
        }
    }

    /// What it may do.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Program(program) => program.role(),
            Self::Agent { .. } => Role::Agent,
            Self::Reader { .. } => Role::Reader,
            Self::Fleet { .. } => Role::Fleet,
        }
    }

    /// The team it belongs to; none of our programs does.
    #[must_use]
    pub fn team(&self) -> Option<&TeamId> {
        match self {
            Self::Program(_) => None,
            Self::Agent { team, .. } | Self::Reader { team, .. } | Self::Fleet { team } => Some(team),
        }
    }

    /// What fills the template of its role.
    pub(crate) fn tags(&self) -> Vec<String> {
        match self {
            Self::Program(_) => Vec::new(),
            Self::Agent { team, host } => {
                vec![format!("team:{team}"), format!("shard:{}", Shard::of(host)), format!("host:{host}")]
            }
            Self::Reader { team, .. } | Self::Fleet { team } => vec![format!("team:{team}")],
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role();
        match self {
            Self::Program(_) => write!(f, "{role}"),
            Self::Agent { team, host } => write!(f, "{role}.{team}.{host}"),
            Self::Reader { team, name } => write!(f, "{role}.{team}.{name}"),
            Self::Fleet { team } => write!(f, "{role}.{team}"),
        }
    }
}

impl FromStr for Holder {
    type Err = UnknownHolder;
    fn from_str(text: &str) -> Result<Self, UnknownHolder> {
        let unknown = || UnknownHolder(text.chars().take(120).collect());
        let words: Vec<&str> = text.split('.').collect();
        let holder = match words[..] {
            ["agent", team, host] => {
                team.parse().ok().zip(host.parse().ok()).map(|(team, host)| Self::Agent { team, host })
            }
            ["reader", team, name] => {
                team.parse().ok().zip(name.parse().ok()).map(|(team, name)| Self::Reader { team, name })
            }
            ["fleet", team] => team.parse().ok().map(|team| Self::Fleet { team }),
            [program] => program.parse().ok().map(Self::Program),
            _ => None,
        };
        holder.ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_no_two_holders_share_one() {
        let agent = |team: &str, host: &str| Holder::Agent {
            team: team.parse().unwrap(),
            host: host.parse().unwrap(),
        };
        let reader = Holder::Reader { team: "a".parse().unwrap(), name: "b-c".parse().unwrap() };
        let fleet = Holder::Fleet { team: "a".parse().unwrap() };
        for holder in [agent("a", "b-c"), agent("a-b", "c"), reader, fleet, Holder::Program(Program::Gateway)]
        {
            assert_eq!(holder.to_string().parse(), Ok(holder));
        }
        assert_ne!(agent("a", "b-c").to_string(), agent("a-b", "c").to_string());
        for bad in ["", "agent.a", "agent.a.b.c", "agent.A.b", "fleet", "root", "reader.a."] {
            assert!(bad.parse::<Holder>().is_err(), "{bad:?}");
        }
    }
}
