//! What a rule finds wrong, and what that leads to.

use std::fmt;

use jiff::Timestamp;

use crate::{
    backing::{Backing, Kind, Resolved},
    facts::WorkloadKind,
    verdict::SubjectName,
};

/// One thing a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule.
    pub rule: &'static str,
    /// What it leads to.
    pub effect: Effect,
    /// Why it leads to less than the rule's mode says, if so.
    pub leniency: Option<Leniency>,
    /// Where in the subject it is written.
    pub field: String,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What can be wrong with a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A volume ends up on storage that is forbidden, or that nobody can name.
    Storage {
        /// Name of the volume.
        volume: String,
        /// What it ends up on, and the way there.
        resolved: Resolved,
        /// Classes of this cluster that would pass; absent where no class
        /// decides, and of more findings than are told.
        passing_classes: Option<Vec<String>>,
    },
    /// The write turns another object, that is there already, to such storage.
    Turned {
        /// The other.
        other: SubjectName,
        /// Name of its volume.
        volume: String,
        /// What that ends up on, and the way there.
        resolved: Resolved,
    },
    /// A namespace's label for the mode of the rule changes.
    ModeChanged {
        /// As it was.
        before: Option<String>,
        /// As it will be.
        now: Option<String>,
        /// Whether it is no mode, or none above the configuration's.
        in_vain: bool,
    },
    /// Every mount of a volume walks over all of its files: fsGroup is set, and
    /// fsGroupChangePolicy is not.
    OwnerChangedAtEveryMount {
        /// Name of the first volume it is so with.
        volume: String,
        /// What that volume ends up on, and the way there.
        resolved: Resolved,
        /// What sets the policy.
        amendment: Amendment,
    },
    /// fsGroupChangePolicy is set and says nothing: fsGroup is not.
    PolicyWithoutGroup,
}

impl Wrong {
    /// The volume it is about, and what that ends up on.
    #[must_use]
    pub fn volume(&self) -> Option<(&str, &Resolved)> {
        match self {
            Self::Storage { volume, resolved, .. }
            | Self::Turned { volume, resolved, .. }
            | Self::OwnerChangedAtEveryMount { volume, resolved, .. } => Some((volume, resolved)),
            Self::ModeChanged { .. } | Self::PolicyWithoutGroup => None,
        }
    }

    /// Whether it rests on a volume whose backing nobody can name.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Storage { resolved, .. } if resolved.backing.kind() == Kind::Unknown)
    }

    /// What mends it, if the guard can.
    #[must_use]
    pub fn amendment(&self) -> Option<&Amendment> {
        match self {
            Self::OwnerChangedAtEveryMount { amendment, .. } => Some(amendment),
            Self::Storage { .. }
            | Self::Turned { .. }
            | Self::ModeChanged { .. }
            | Self::PolicyWithoutGroup => None,
        }
    }

    /// Whether `before`, found by the same rule, is the same wrong: of the same
    /// volume, on the same kind of storage, or with the same thing unknown. What
    /// was on NFS is nowhere worse: a set that scales down lets go of its worst claim.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::Storage { volume, resolved, .. },
                Self::Storage { volume: other, resolved: old, .. },
            ) => {
                let (backing, old) = (&resolved.backing, &old.backing);
                let is_as = match (backing.kind(), old.kind()) {
                    (Kind::Unknown, Kind::Unknown) => backing == old,
                    (_, Kind::Nfs) => true,
                    (kind, old) => kind == old,
                };
                volume == other && is_as
            }
            _ => self == before,
        }
    }
}

/// One value to add to the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The member to add; what it is a member of is there.
    pub path: Vec<&'static str>,
    /// Its value.
    pub value: &'static str,
}

impl Amendment {
    /// Adds `member` to the pod's security context, which must be there.
    pub(crate) fn of_security_context(
        kind: WorkloadKind,
        member: &'static str,
        value: &'static str,
    ) -> Self {
        let template = kind.template_path().iter().copied();
        Self { path: template.chain(["spec", "securityContext", member]).collect(), value }
    }
}

impl fmt::Display for Amendment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, value } = self;
        write!(f, "{}: {value}", path.last().unwrap_or(&""))
    }
}

impl Finding {
    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        let message = match &self.wrong {
            Wrong::Storage { volume, resolved, .. } => match &resolved.backing {
                Backing::Unknown(why) => format!("volume {volume}: backing unknown: {why}"),
                backing => format!("volume {volume} ends up on {backing}"),
            },
            Wrong::Turned { other, volume, resolved } => {
                format!("turns {other}: volume {volume} ends up on {}", resolved.backing)
            }
            Wrong::ModeChanged { before, now, in_vain } => {
                let or_none = |label: &Option<String>| match label {
                    Some(label) => format!("`{label}`"),
                    None => "none".to_owned(),
                };
                let change = format!("mode here from {} to {}", or_none(before), or_none(now));
                if *in_vain {
                    format!("{change}, which changes nothing: a label can only raise it")
                } else {
                    change
                }
            }
            Wrong::OwnerChangedAtEveryMount { amendment, .. } if self.effect == Effect::Patch => {
                format!("added {amendment}; put it in the source too")
            }
            Wrong::OwnerChangedAtEveryMount { volume, .. } => format!(
                "fsGroup without fsGroupChangePolicy: OnRootMismatch: every mount of {volume} \
                 visits all its files"
            ),
            Wrong::PolicyWithoutGroup => {
                "fsGroupChangePolicy does nothing while fsGroup is not set".to_owned()
            }
        };
        match &self.leniency {
            Some(leniency) => format!("{message} ({leniency})"),
            None => message,
        }
    }
}

/// What a finding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing beyond a record.
    Allow,
    /// A record only, by the rule's mode.
    Audit,
    /// A warning.
    Warn,
    /// A change to the object, and a warning that says so.
    Patch,
    /// A denial.
    Deny,
}

impl Effect {
    /// The name used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Patch => "patch",
            Self::Deny => "deny",
        }
    }
}

/// Why a finding leads to less than its rule's mode says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// The object had it before this update.
    NotNew,
    /// The volume is promised to the claim already; a denial now would leave it
    /// half-bound.
    Binding,
    /// A provisioner made the volume for the claim. Denied, it would make another,
    /// and leave this one behind, without end.
    Provisioned,
    /// A controller made the object after a spec that has it, too.
    OwnersSpec,
    /// A controller made the object after the spec of a kind that the guard cannot
    /// read.
    UnreadableOwner,
    /// It comes from a claim that was bound before the guard was there.
    OldClaim,
    /// The object was there before the guard.
    BeforeTheGuard,
    /// An exemption allows it.
    Exempt {
        /// Name of the exemption.
        exemption: String,
        /// When that ends.
        until: Timestamp,
    },
    /// The configuration excepts it.
    Excepted {
        /// The reason given there.
        reason: String,
    },
}

impl Leniency {
    /// Name of the exemption, if it is one.
    #[must_use]
    pub fn exemption(&self) -> Option<&str> {
        match self {
            Self::Exempt { exemption, .. } => Some(exemption),
            _ => None,
        }
    }
}

impl fmt::Display for Leniency {
    /// The reason, as a part of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNew => "not new with this update",
            Self::Binding => "already being bound",
            Self::Provisioned => "made for its claim already",
            Self::OwnersSpec => "as in the spec of its owner",
            Self::UnreadableOwner => "made for an owner the guard cannot read",
            Self::OldClaim => "bound before the guard was there",
            Self::BeforeTheGuard => "there before the guard",
            Self::Exempt { exemption, until } => {
                return write!(f, "exempt by {exemption} until {}", until.strftime("%F"));
            }
            Self::Excepted { reason } => return write!(f, "excepted: {reason}"),
        })
    }
}
