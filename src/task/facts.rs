//! What the text says about trouble: whether something is wrong, where, how badly and since when.
//!
//! Sums of weights, gathered once and read by type, priority and risks. Conditions of the result ("the page
//! must load today's data") are no trouble, so acceptance sections do not count.

use super::cue::{Cue, Section};
use super::pieces::Zone;
use super::reading::Reading;

/// Sums of weights; 1 is one clear statement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) defect: f32,
    pub(crate) outage: f32,
    pub(crate) active_harm: f32,
    pub(crate) vulnerable: f32,
    pub(crate) now: f32,
    pub(crate) ongoing: f32,
    pub(crate) production: f32,
    pub(crate) non_production: f32,
    pub(crate) resolved: f32,
    pub(crate) users: f32,
    pub(crate) trivial: f32,
    pub(crate) duty: f32,
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) critical: f32,
    /// The text has a stack trace or log lines.
    pub(crate) trace: bool,
    /// The text has steps to reproduce or tells what happens today.
    pub(crate) steps: bool,
}

impl Facts {
    pub(crate) fn of(reading: &Reading) -> Self {
        let mut facts = Self::default();
        for part in &reading.parts {
            match part.piece.zone {
                Zone::Trace => facts.trace = true,
                Zone::In(Section::Steps) => facts.steps = true,
                Zone::In(Section::Acceptance | Section::Expected | Section::Excluded)
                | Zone::Done
                | Zone::Code
                | Zone::Injected => continue,
                Zone::In(Section::Request | Section::Other) => {}
            }
            for hit in &part.hits {
                if let Some(sum) = facts.slot(hit.cue) {
                    *sum += hit.weight;
                }
            }
        }
        facts
    }

    fn slot(&mut self, cue: Cue) -> Option<&mut f32> {
        Some(match cue {
            Cue::Defect => &mut self.defect,
            Cue::Outage => &mut self.outage,
            Cue::ActiveHarm => &mut self.active_harm,
            Cue::Vulnerable => &mut self.vulnerable,
            Cue::Now => &mut self.now,
            Cue::Ongoing => &mut self.ongoing,
            Cue::Production => &mut self.production,
            Cue::NonProduction => &mut self.non_production,
            Cue::Resolved => &mut self.resolved,
            Cue::Users => &mut self.users,
            Cue::Trivial => &mut self.trivial,
            Cue::Duty => &mut self.duty,
            Cue::Low => &mut self.low,
            Cue::High => &mut self.high,
            Cue::Critical => &mut self.critical,
            _ => return None,
        })
    }

    /// The trouble is on staging, on one machine, or anywhere but where it hurts.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.non_production > 0.0 && self.non_production >= self.production
    }

    /// A defect that hurts production or its users now and has to be dealt with at once.
    pub(crate) fn is_emergency(&self) -> bool {
        if self.is_elsewhere()
            || self.resolved >= 0.7
            || (self.trivial >= 0.7 && self.active_harm < 1.0 && self.outage < 1.0)
        {
            return false;
        }
        let current = self.now + self.ongoing;
        let down =
            self.outage >= 1.0 && (self.production > 0.0 || current > 0.0 || self.outage >= 2.0);
        let harmed = self.active_harm >= 1.0 && (self.production > 0.0 || current >= 0.7);
        // A hole that nobody uses yet is urgent, but no emergency.
        let hole = self.vulnerable >= 0.7 && self.production < 0.7;
        let hurt = self.defect >= 0.8
            && self.now >= 1.0
            && !hole
            && (self.production >= 0.7 || self.users >= 1.0);
        // "Since the release ... roll back at once" needs no word for the defect.
        let fresh =
            self.production >= 0.7 && self.now >= 1.0 && (self.ongoing >= 0.7 || self.now >= 2.0);
        down || harmed || hurt || fresh
    }
}
