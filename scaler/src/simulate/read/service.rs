//! Times in service from token counts.

use std::{fmt, str::FromStr};

/// Computes the time in service of a request from its token counts, in seconds: `fixed` +
/// `per_context`·context + `per_generated`·generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceModel {
    /// Seconds for each request.
    pub fixed: f64,
    /// Seconds for each context token.
    pub per_context: f64,
    /// Seconds for each generated token.
    pub per_generated: f64,
}

impl ServiceModel {
    pub(super) fn seconds(&self, context: f64, generated: f64) -> f64 {
        self.fixed + self.per_context * context + self.per_generated * generated
    }
}

impl Default for ServiceModel {
    /// A model with some 10 billion parameters on one GPU: 50 ms, plus 10,000 context tokens and
    /// 50 generated tokens a second.
    fn default() -> Self {
        Self {
            fixed: 0.05,
            per_context: 1e-4,
            per_generated: 0.02,
        }
    }
}

impl FromStr for ServiceModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<f64> = text
            .split(',')
            .filter_map(|word| word.trim().parse().ok())
            .filter(|seconds| (0.0..1e9).contains(seconds))
            .collect();
        match numbers[..] {
            [fixed, per_context, per_generated] if text.split(',').count() == 3 => Ok(Self {
                fixed,
                per_context,
                per_generated,
            }),
            _ => Err(format!(
                "found {text:?}, expected three numbers of seconds: fixed,per-context-token,per-generated-token, \
                 such as 0.05,0.0001,0.02"
            )),
        }
    }
}

impl fmt::Display for ServiceModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s + {} s a context token + {} s a generated token",
            self.fixed, self.per_context, self.per_generated
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_models_are_three_numbers() {
        assert_eq!("0.05,0.0001,0.02".parse(), Ok(ServiceModel::default()));
        for wrong in ["", "1", "1,2", "1,2,3,4", "1,x,3", "-1,0,0", "nan,0,0"] {
            assert!(wrong.parse::<ServiceModel>().is_err(), "{wrong:?}");
        }
    }
}
