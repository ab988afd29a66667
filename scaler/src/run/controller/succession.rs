//! A model's part in an upgrade: see [`succession`](crate::run::succession).

use tailback_config::Kind;

use super::*;

impl ModelController {
    /// Asks for the initial count once it is known: the count that was `found`, or else the
    /// configured one.
    pub(super) fn begin(&mut self, found: bool) {
        if self.taken_over == TakenOver::NotYet {
            return self.show(&Reason::AwaitingState.to_string());
        }
        let replicas = self.scaler.desired();
        let reason = if found {
            self.scaler.take_over(replicas, self.own.at);
            Reason::Found { replicas }
        } else {
            Reason::Configured { replicas }
        };
        self.ask(None, None);
        self.arm();
        self.show(&reason.to_string());
    }

    /// What the successor needs to know of this model.
    pub(in crate::run) fn bequest(&self) -> InheritedModel {
        InheritedModel {
            desired: self.scaler.desired(),
            orders: self.orders(),
            drained: self.drained(),
        }
    }

    /// The endpoints that an operator has drained.
    fn drained(&self) -> Vec<String> {
        if !matches!(self.handle.model.server.kind, Kind::Static(_)) {
            return Vec::new();
        }
        let leaving = self.set.leaving.iter();
        leaving
            .map(|own| own.replica.authority().to_owned())
            .collect()
    }

    /// Drains the endpoints again that were drained in the predecessor.
    pub(super) fn drain_again(&self, inherited: Option<&InheritedModel>) {
        for endpoint in inherited.iter().flat_map(|found| &found.drained) {
            // Fails only if the server is of another kind now.
            let _ = self
                .orchestrator
                .set_drained(&self.handle.model, endpoint, true);
        }
    }

    /// Whether its replicas are processes on this host.
    pub(in crate::run) fn is_local(&self) -> bool {
        let server = &self.handle.model.server;
        server.process().is_some() && server.multi_model.is_none()
    }

    /// The set of replicas, if they are processes on this host and the set was reported already.
    pub(in crate::run) fn local_set(&self) -> Option<&ReplicaSet> {
        Some(&self.set).filter(|set| self.is_local() && !set.model.is_empty())
    }

    /// Slots that another process had used may be free: offers them to held requests.
    pub(in crate::run) fn slots_freed(&self) {
        self.handle.traffic.set_replicas(&self.set.ready);
    }
}
