//! The configuration, made ready to judge with.

use crate::{
    catalogue::Catalogue,
    config::{Critical, Exemptions, GuardConfig, Ratchet, Rules},
    glob::Glob,
    rules::{RULES, Rule},
};

/// Everything a judgement depends on beside the subject and its cluster.
#[derive(Debug)]
pub struct Policy {
    /// What is critical.
    pub critical: Critical,
    /// Namespaces in which nothing is judged.
    pub excluded_namespaces: Vec<Glob>,
    /// The rules' settings.
    pub settings: Rules,
    /// What is borne with.
    pub ratchet: Ratchet,
    /// What exemptions may grant.
    pub exemptions: Exemptions,
    /// The drivers it knows.
    pub catalogue: Catalogue,
    /// The rules themselves, in the order their findings are told.
    pub rules: RuleList,
}

/// The rules a policy asks.
pub type RuleList = &'static [&'static dyn Rule];

impl Policy {
    /// The policy of that configuration, with every rule there is.
    #[must_use]
    pub fn new(config: GuardConfig) -> Self {
        Self::with_rules(config, RULES)
    }

    /// The policy of that configuration, with rules of the caller's choosing.
    #[must_use]
    pub fn with_rules(config: GuardConfig, rules: RuleList) -> Self {
        let GuardConfig {
            api_version: _,
            kind: _,
            critical,
            excluded_namespaces,
            drivers,
            rules: settings,
            ratchet,
            exemptions,
        } = config;
        let catalogue = Catalogue::with(&drivers);
        Self { critical, excluded_namespaces, settings, ratchet, exemptions, catalogue, rules }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(GuardConfig::default())
    }
}
