//! The counts that a multi-model server may have, by its kind.

use crate::{Kind, ServerReplicas};

impl ServerReplicas {
    /// One replica, always.
    pub(crate) const ONE: Self = Self {
        min: 1,
        max: 1,
        initial: 1,
        scaled: false,
    };

    /// The counts of a server of this `kind`, from its `minReplicas`, `maxReplicas` and `replicas`
    /// where these are set. Each is at least 1.
    ///
    /// # Errors
    /// How they contradict each other or the kind.
    pub(crate) fn of(
        kind: &Kind,
        min: Option<u32>,
        max: Option<u32>,
        initial: Option<u32>,
    ) -> Result<Self, String> {
        if let Kind::Static(fixed) = kind {
            let own = [("minReplicas", min), ("replicas", initial)];
            if let Some((field, Some(count))) = own.into_iter().find(|(_, own)| own.is_some()) {
                return Err(format!(
                    "found {count}, but a static server has the replicas its endpoints are; remove {field}"
                ));
            }
            let count = u32::try_from(fixed.endpoints.len()).unwrap_or(u32::MAX);
            return Ok(Self {
                min: count,
                max: count,
                initial: count,
                scaled: false,
            });
        }
        let scaled = min.is_some() || max.is_some();
        if matches!(kind, Kind::Kubernetes(_)) && !scaled && initial.is_none() {
            // A workload keeps its own count until the server sets one.
            return Ok(Self {
                max: u32::MAX,
                ..Self::ONE
            });
        }
        let least = min.unwrap_or(1);
        let first = initial.unwrap_or(least);
        let (least, most) = match scaled {
            // An absent `maxReplicas` does not make the server scale up.
            true => (least, max.unwrap_or(first.max(least))),
            false => (first, first),
        };
        if least > most {
            return Err(format!(
                "found maxReplicas {most}, expected at least {least}, which is minReplicas"
            ));
        }
        if first < least || first > most {
            return Err(format!(
                "found replicas {first}, expected at least {least} (minReplicas) and at most {most} (maxReplicas)"
            ));
        }
        Ok(Self {
            min: least,
            max: most,
            initial: first,
            scaled,
        })
    }
}
