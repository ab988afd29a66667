//! The layout of the stays of models in the band of their bin: simultaneous stays are stacked,
//! each as high as its share of the bin's memory.

use tailback_scaler::{
    clock::Nanos,
    simulate::fleet::{FleetSetup, Stay},
};

/// A stay in the band of one bin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block<'a> {
    pub stay: &'a Stay,
    /// Its position in the band from the bottom, 0 to 1.
    pub from: f64,
    pub to: f64,
}

/// The bands of all bins that can hold models, with their names, in the setup's order.
pub(super) fn bands<'a>(setup: &FleetSetup, stays: &'a [Stay]) -> Vec<(String, Vec<Block<'a>>)> {
    let mut bands = Vec::new();
    for (pool, own) in setup.pools.iter().enumerate() {
        let mut models = setup.models.iter();
        if !models.any(|model| model.need.pools.contains(&pool)) {
            continue;
        }
        for (bin, room) in own.bins.iter().enumerate() {
            let here = |stay: &&Stay| stay.pool == pool && stay.bins.contains(&bin);
            let here: Vec<_> = stays.iter().filter(here).collect();
            bands.push((room.name.to_string(), stack(setup, &here, room.memory)));
        }
    }
    bands
}

/// Puts each stay at the lowest position that is free for its duration.
fn stack<'a>(setup: &FleetSetup, stays: &[&'a Stay], capacity: Option<u64>) -> Vec<Block<'a>> {
    let mut stays = stays.to_vec();
    stays.sort_by_key(|stay| (stay.from, stay.model));
    // Stays that may not have ended, as ranges of bytes, the lowest first.
    let mut there: Vec<(u64, u64, Nanos)> = Vec::new();
    let mut placed = Vec::new();
    for stay in stays {
        there.retain(|(.., until)| *until > stay.from);
        let height = setup.models[stay.model].need.memory.max(1);
        let mut bottom = 0;
        for (from, to, _) in &there {
            if bottom + height <= *from {
                break;
            }
            bottom = bottom.max(*to);
        }
        let own = (bottom, bottom + height, stay.until);
        let position = there.partition_point(|other| other.0 < bottom);
        there.insert(position, own);
        placed.push((stay, bottom, bottom + height));
    }
    let top = placed.iter().map(|(.., to)| *to).max().unwrap_or_default();
    let whole = top.max(capacity.unwrap_or_default()).max(1) as f64;
    let block = |(stay, from, to): (&'a Stay, u64, u64)| Block {
        stay,
        from: from as f64 / whole,
        to: to as f64 / whole,
    };
    placed.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailback_config::{Env, load_text};

    #[test]
    fn stays_at_the_same_time_lie_one_above_the_other_and_reuse_what_is_free() {
        let text = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, spec: { memory: 4Gi, \
             multiModel: {}, process: { command: [x, '{port}'] } } }\n---\n\
             { apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, spec: { server: s, memory: 1Gi } }\n";
        let config = load_text(std::path::Path::new("a.yaml"), text, &Env::default()).unwrap();
        let setup = FleetSetup::of(&config, |_| std::time::Duration::from_secs(1));
        let stay = |from, until| Stay {
            model: 0,
            pool: 0,
            bins: vec![0],
            from: Nanos(from),
            ready: Nanos(from),
            until: Nanos(until),
        };
        let stays = [stay(0, 10), stay(1, 3), stay(2, 9), stay(4, 5)];
        let bands = bands(&setup, &stays);
        let [(name, blocks)] = &bands[..] else {
            panic!("{bands:?}")
        };
        assert_eq!(name, "s-0");
        let at: Vec<_> = blocks.iter().map(|block| (block.from, block.to)).collect();
        assert_eq!(at, [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.25, 0.5)]);
    }
}
