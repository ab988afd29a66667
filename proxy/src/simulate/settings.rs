//! The settings of the policies: from the manifests, as `serve` reads them, and from options,
//! which take precedence.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tailback_config::{Config, Env, Model, Origin, Setting, load};
use tailback_scaler::{
    policy::Settings,
    simulate::{Conditions, Setup},
};

use super::{MOST_REPLICAS, Simulation};

/// The concurrency without manifests.
const CONCURRENCY: u32 = 8;
const MIN: u32 = 1;
const MAX: u32 = 1000;

/// The chosen model and settings.
pub(super) struct Chosen {
    pub setup: Setup,
    /// The model, with manifests and options combined.
    pub model: Option<Arc<Model>>,
}

impl Simulation {
    /// Reads the manifests, if there are any, and applies the options.
    pub(super) fn choose(&self) -> Result<Chosen, String> {
        if self.manifests.is_empty() {
            return self.by_options();
        }
        let config =
            load(&self.manifests, &Env::from_process()).map_err(|errors| errors.to_string())?;
        self.by_manifests(&config)
    }

    fn by_options(&self) -> Result<Chosen, String> {
        let (min, max) = (self.min.unwrap_or(MIN), self.max.unwrap_or(MAX));
        bounds(min, max)?;
        let conditions = self.conditions(Some(self.concurrency.unwrap_or(CONCURRENCY)), min, max);
        let setup = Setup::new(conditions, self.threshold, min, max);
        Ok(Chosen {
            setup: self.timed(setup),
            model: None,
        })
    }

    fn by_manifests(&self, config: &Config) -> Result<Chosen, String> {
        let model = self.overridden(pick(config, self.model.as_deref())?)?;
        let replicas = &model.replicas;
        let most = replicas.max.min(MOST_REPLICAS as u32);
        let concurrency = model.concurrency.map(NonZeroU32::get);
        let conditions = Conditions {
            takes_back: model.server.process().is_some(),
            ..self.conditions(concurrency, replicas.initial, most)
        };
        let setup = Setup {
            settings: Settings::from(&model),
            period: config.process.scaling_period,
            ..Setup::new(conditions, None, replicas.min, most)
        };
        Ok(Chosen {
            setup: self.timed(setup),
            model: Some(Arc::new(model)),
        })
    }

    /// The model with the options applied.
    fn overridden(&self, model: &Model) -> Result<Model, String> {
        let mut model = model.clone();
        let (replicas, scaling) = (&mut model.replicas, &mut model.scaling);
        if let Some(min) = self.min {
            (replicas.min, replicas.min_origin) = (min, Origin::Option("--min"));
        }
        if let Some(max) = self.max {
            (replicas.max, replicas.max_origin) = (max, Origin::Option("--max"));
        }
        bounds(replicas.min, replicas.max)?;
        replicas.scaled |= self.min.or(self.max).is_some();
        replicas.initial = match self.min {
            Some(min) => min,
            None => replicas.initial.min(replicas.max),
        };
        if let Some(slots) = self.concurrency.and_then(NonZeroU32::new) {
            model.concurrency = Setting::new(Some(slots), Origin::Option("--concurrency"));
        }
        if let Some(lag) = self.threshold.and_then(NonZeroU32::new) {
            scaling.lag_threshold = Setting::new(lag, Origin::Option("--threshold"));
        }
        let seconds = Duration::from_secs_f64;
        if let Some(time) = self.slo_wait.map(seconds) {
            scaling.target_wait = Setting::new(time, Origin::Option("--slo-wait"));
        }
        if let Some(time) = self.inactive.map(seconds) {
            scaling.inactive = Setting::new(time, Origin::Option("--inactive"));
        }
        if let Some(time) = self.stability.map(seconds) {
            scaling.stability = Setting::new(time, Origin::Option("--stability"));
        }
        Ok(model)
    }

    fn conditions(&self, concurrency: Option<u32>, initial: u32, capacity: u32) -> Conditions {
        Conditions {
            concurrency,
            start_up: self.start_up.clone(),
            initial,
            capacity,
            takes_back: false,
            seed: self.seed,
            timeline: None,
        }
    }

    fn timed(&self, mut setup: Setup) -> Setup {
        let seconds = Duration::from_secs_f64;
        let settings = &mut setup.settings;
        settings.target_wait = self.slo_wait.map_or(settings.target_wait, seconds);
        setup.slo_wait = settings.target_wait;
        settings.inactive = self.inactive.map_or(settings.inactive, seconds);
        settings.stability = self.stability.map_or(settings.stability, seconds);
        setup
    }
}

fn bounds(min: u32, max: u32) -> Result<(), String> {
    if min > max {
        return Err(format!(
            "--min, --max: found a minimum of {min} replicas, expected at most the maximum, {max}"
        ));
    }
    Ok(())
}

/// The model named `name`, or the only one.
fn pick<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Model, String> {
    let known = || {
        let names: Vec<_> = config.models.keys().map(String::as_str).collect();
        names.join(", ")
    };
    let mut models = config.models.values();
    match (name, models.next(), models.next()) {
        (Some(name), ..) => config
            .models
            .get(name)
            .map(|model| &**model)
            .ok_or_else(|| {
                format!(
                    "--model: found {name:?}, expected a model of the manifests: {}",
                    known()
                )
            }),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(format!(
            "the manifests have several models; choose one by --model: {}",
            known()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;
    use tailback_config::load_text;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulation: Simulation,
    }

    fn options(words: &[&str]) -> Simulation {
        let line = [&["simulate", "trace.csv"], words].concat();
        Line::parse_from(line).simulation
    }

    fn config(env: &[(&str, &str)]) -> Config {
        let api = "apiVersion: tailback.dev/v1alpha1";
        let text = format!(
            "{api}\nkind: Server\nmetadata: {{ name: s }}\n\
             spec: {{ concurrency: 4, maxReplicas: 9, process: {{ command: [x, '{{port}}'] }} }}\n---\n\
             {api}\nkind: Model\nmetadata: {{ name: scaled }}\n\
             spec: {{ server: s, minReplicas: 2, scaling: {{ inactiveSeconds: 30, targetWaitSeconds: 5 }} }}\n---\n\
             {api}\nkind: Model\nmetadata: {{ name: fixed }}\nspec: {{ server: s, replicas: 3 }}\n"
        );
        let env: Env = env.iter().copied().collect();
        load_text(Path::new("m.yaml"), &text, &env).unwrap()
    }

    #[test]
    fn manifests_and_environment_are_taken_as_serve_takes_them() {
        let config = config(&[
            ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "3"),
            ("SELDON_SCALING_STATS_PERIOD_SECONDS", "7"),
        ]);
        let chosen = options(&["--model", "scaled"])
            .by_manifests(&config)
            .unwrap();
        let Setup {
            settings,
            conditions,
            period,
            slo_wait,
            ..
        } = chosen.setup;
        assert_eq!(
            slo_wait,
            Duration::from_secs(5),
            "what it aims at is counted"
        );
        assert_eq!(settings, Settings::from(&*config.models["scaled"]));
        assert_eq!((settings.threshold, settings.slots), (3, 3));
        assert_eq!((conditions.initial, conditions.capacity), (2, 9));
        assert_eq!(conditions.concurrency, Some(4));
        assert!(conditions.takes_back, "its replicas are processes");
        assert_eq!(period, Duration::from_secs(7));
        assert_eq!(settings.inactive, Duration::from_secs(30));
    }

    #[test]
    fn options_come_before_manifests() {
        let words = "--model fixed --min 0 --max 20 --concurrency 16 --threshold 5 --inactive 1 --stability 2 --slo-wait 7";
        let words: Vec<_> = words.split(' ').collect();
        let chosen = options(&words).by_manifests(&config(&[])).unwrap();
        let settings = chosen.setup.settings;
        assert_eq!((settings.min, settings.max), (0, 20));
        assert!(settings.scaled, "bounds make it scale");
        assert_eq!((settings.threshold, settings.slots), (5, 5));
        assert_eq!(settings.inactive, Duration::from_secs(1));
        assert_eq!(settings.stability, Duration::from_secs(2));
        assert_eq!(settings.target_wait, Duration::from_secs(7));
        assert_eq!(chosen.setup.slo_wait, Duration::from_secs(7));
        assert_eq!(chosen.setup.conditions.concurrency, Some(16));
        assert_eq!(chosen.setup.conditions.capacity, 20);
    }

    #[test]
    fn an_unknown_choice_lists_the_valid_ones() {
        for (words, expected) in [
            (
                &[] as &[&str],
                "the manifests have several models; choose one by --model: fixed, scaled",
            ),
            (
                &["--model", "x"],
                "--model: found \"x\", expected a model of the manifests: fixed, scaled",
            ),
            (
                &["--model", "scaled", "--min", "10"],
                "--min, --max: found a minimum of 10 replicas, expected at most the maximum, 9",
            ),
        ] {
            let error = options(words).by_manifests(&config(&[])).err();
            assert_eq!(error.as_deref(), Some(expected));
        }
    }
}
