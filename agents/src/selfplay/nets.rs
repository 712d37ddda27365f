//! The networks of self-play: which there are, where their parameters lie, and what they are shown of a world.
use super::{
    config::SelfPlayConfig,
    decisions::Widths,
    features::Features,
    hidden::{Critic, Hidden},
    net::{Sizes, SparseMlp, ValueNet},
    team_guess::{Guess, Relation, TeamView, context_width},
};
use rlx::{Field, Role, Space, Spec};
use rlx_nn::{Activation, Layout, NativeMlp, sparse::Active};
use std::ops::Range;

/// The networks' shapes and places; parameters are handed in.
#[derive(Clone, Debug)]
pub(super) struct SelfPlayNets {
    pub layout: Layout,
    pub features: Features,
    pub candidate_features: Features,
    /// Players but the acting one.
    pub others: usize,
    /// How the others are guessed; None: they are not.
    pub guess: Option<Guess>,
    /// Temperature of one-step targets; None: targets are returns over whole games.
    pub soft: Option<f64>,
    /// One, or one for each pattern of accepted players and each seat.
    pub values: Vec<ValueNet>,
    pub relation: Option<SparseMlp>,
    pub danger: Option<SparseMlp>,
    /// Over the value network's state half: teammates, then counts ([`Hidden::counts`]).
    pub auxiliary: Option<NativeMlp>,
    pub hidden: Option<Hidden>,
    pub critic: Option<Critic>,
    pub prior: Option<Range<usize>>,
    pub view: TeamView,
    /// Where an observation has the last moves of the others, one after another, and their features after those of the rest.
    last_moves: Option<(Range<usize>, Features)>,
}

/// Where an observation has the last moves of the others: at the front of the recent moves, each as wide as a candidate's move.
fn last_moves(spec: &Spec) -> Option<(Range<usize>, Features)> {
    let recent = Role::RecentMoves.find(&spec.fields)?;
    let one = Role::Move.find(&spec.candidate_fields)?;
    let (width, all) = (one.range.len(), one.range.len() * (spec.players - 1));
    (recent.range.len() >= all && recent.encoding == one.encoding).then(|| {
        let field = Field::new("", 0..width, "").encoded(one.encoding);
        (recent.range.start..recent.range.start + all, Features::new(&[field], width))
    })
}

impl SelfPlayNets {
    /// Networks for worlds of `spec`.
    pub fn new(spec: &Spec, config: &SelfPlayConfig, guess: Option<Guess>, mean_field: bool) -> Self {
        let features = Features::new(&spec.fields, spec.obs.width());
        let candidate_features = Features::new(&spec.candidate_fields, spec.candidates.unwrap_or(0));
        let mut layout = Layout::new();
        let others = spec.players - 1;
        let pattern = guess.as_ref().is_some_and(|g| g.pattern);
        let last_moves = if mean_field { last_moves(spec) } else { None };
        let state_features = features.count() + last_moves.as_ref().map_or(0, |(_, f)| f.count());
        let view = TeamView::of(spec);
        let sizes = Sizes {
            features: state_features,
            candidate_features: candidate_features.count(),
            context: if guess.is_some() && !pattern { view.width() } else { 0 },
            hidden: config.hidden,
            layers: config.layers,
            head_layers: config.head_layers,
            head: config.head,
        };
        let count = if pattern { (1 << others) * spec.players } else { 1 };
        let values = (0..count).map(|i| ValueNet::new(&mut layout, &format!("value.{i}"), sizes)).collect();
        let mut small = |name: &str, hidden: usize, outputs: usize| {
            SparseMlp::new(&mut layout, name, features.count(), 0, &[hidden, hidden, outputs], 0.1)
        };
        let relation = guess.as_ref().filter(|g| g.relation == Relation::Network);
        let relation = relation.map(|g| small("relation", g.hidden, others));
        let danger = guess.as_ref().filter(|g| g.danger > 0).map(|g| small("danger", g.danger, 1));
        let hidden = Hidden::of(spec);
        let auxiliary = guess.as_ref().filter(|g| g.auxiliary > 0.0).and(hidden.as_ref()).map(|hidden| {
            let sizes = [config.head, others + hidden.counted()];
            NativeMlp::new(&mut layout, "auxiliary", &sizes, Activation::Relu, 0.1)
        });
        let critic = hidden.as_ref().filter(|_| config.has_critic());
        let critic = critic.map(|hidden| Critic::new(&mut layout, hidden, state_features, config.critic_hidden));
        Self {
            layout,
            features,
            candidate_features,
            others,
            guess,
            soft: config.one_step().then_some(config.soft),
            values,
            relation,
            danger,
            auxiliary,
            hidden,
            critic,
            prior: Role::TeamPrior.find(&spec.fields).map(|f| f.range.clone()),
            view,
            last_moves,
        }
    }

    /// Whether such networks can play in worlds of `spec`.
    pub fn fits(spec: &Spec, guess: bool, critic: bool, mean_field: bool) -> Result<(), String> {
        if spec.candidates.is_none() || spec.candidate_fields.is_empty() {
            return Err("it scores candidates, and this world has none".into());
        }
        if spec.rows != 1 {
            return Err("it plays in turn, and this world's players act at once".into());
        }
        if !matches!(spec.obs, Space::Box { .. }) || spec.fields.is_empty() {
            return Err("it spreads named parts of rows of bytes, and this world names none".into());
        }
        let no_team = Hidden::of(spec).is_none();
        if guess && (no_team || Role::TeamPrior.find(&spec.fields).is_none()) {
            return Err(
                "it guesses teams, and this world has no hidden teams with a prior: no fields whose roles are \
                        Team and TeamPrior"
                    .into(),
            );
        }
        if mean_field && last_moves(spec).is_none() {
            return Err(
                "it takes the mean of the others' last moves, and this world shows none: no fields whose roles \
                        are RecentMoves and Move"
                    .into(),
            );
        }
        if critic && no_team {
            return Err("td_lambda < 1 needs a critic that knows the teams, and this world has no hidden teams: no \
                        field whose role is Team"
                .into());
        }
        Ok(())
    }

    /// Numbers of a guess.
    pub fn context_width(&self) -> usize {
        context_width(self.others)
    }

    /// Whether the guess is the truth, which must be shown before it acts.
    pub fn needs_truth(&self) -> bool {
        self.guess.as_ref().is_some_and(|g| g.relation == Relation::Truth)
    }

    /// Whether the value network is told the guess; networks for each pattern are not.
    pub fn tells_guess(&self) -> bool {
        self.guess.as_ref().is_some_and(|g| !g.pattern)
    }

    /// Bytes of a hidden state, 0 where there is none.
    pub fn hidden_width(&self) -> usize {
        self.hidden.as_ref().map_or(0, |h| h.width)
    }

    /// Scalars of a decision.
    pub fn widths(&self) -> Widths {
        Widths {
            obs: self.features.width(),
            candidate: self.candidate_features.width(),
            hidden: self.hidden_width(),
            context: self.context_width(),
            soft: self.soft.is_some(),
            players: self.others + 1,
        }
    }

    /// Appends the features of an observation: its own, and with a mean field those of the others' last moves, which add up to their
    /// mean times the number of the others.
    pub fn encode(&self, obs: &[u8], out: &mut Active) {
        self.features.extend(obs, out);
        if let Some((at, features)) = &self.last_moves {
            let (first, base) = (out.features.len(), self.features.count() as u32);
            obs[at.clone()].chunks_exact(features.width()).for_each(|m| features.extend(m, out));
            out.features[first..].iter_mut().for_each(|f| *f += base);
        }
        out.end();
    }
}
