//! All nodes at one moment: what they host, how much comes and goes, and what does not work.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use essaim::operators::{Row, Sample, accepts_events, event, event_stream};
use essaim::{AbsentStatus, MemberStatus, NodeState, NodeStatus};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::console::Console;
use crate::layout::{Places, place};
use crate::links::{Link, Links, Place};

/// How old an overview may be: all pages share one.
const EVERY: Duration = Duration::from_secs(1);

/// All nodes at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// When, in milliseconds since 1970.
    at_ms: u64,
    nodes: Vec<NodeShown>,
    links: Vec<Link>,
    /// What does not work, in words.
    troubles: Vec<String>,
    layout: Layout,
}

#[derive(Debug, Serialize)]
struct NodeShown {
    name: String,
    state: NodeStanding,
    /// Since when it is gone, or was last heard, in milliseconds.
    heard_ms_ago: u64,
    /// What it says of itself: the same as `/status`; none if it does not answer.
    report: Option<NodeStatus>,
    /// Why there is no report.
    problem: Option<String>,
    /// The capabilities that it hosts, or hosted.
    hosted: Vec<String>,
    /// How fast its figures grow.
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NodeStanding {
    Ready,
    /// It is up, and something that it needs does not work.
    NotReady,
    Draining,
    /// It does not answer.
    Silent,
    /// It has left, or its lease has ended.
    Gone,
    /// The others refuse it.
    Refused,
}

/// Where boxes are drawn: nodes, and in each its capabilities, by their upper left corners.
#[derive(Debug, Default, Serialize)]
struct Layout {
    width: f64,
    height: f64,
    nodes: BTreeMap<String, Rectangle>,
    /// By node, then capability.
    capabilities: BTreeMap<String, BTreeMap<String, Rectangle>>,
    /// What is outside of all nodes.
    outside: Option<Rectangle>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Rectangle {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The overviews of this console, made when somebody looks.
#[derive(Default)]
pub(crate) struct Overviews(Mutex<State>);

#[derive(Default)]
struct State {
    /// As JSON.
    made: Option<(Instant, Bytes)>,
    sample: Option<Sample>,
    links: Links,
}

impl Console {
    /// The overview as JSON, at most [`EVERY`] old.
    async fn overview(&self) -> Bytes {
        let mut state = self.overviews.0.lock().await;
        let now = self.env.now();
        if let Some((at, made)) = &state.made
            && now < *at + EVERY
        {
            return made.clone();
        }
        let made = Bytes::from(serde_json::to_vec(&self.look(&mut state).await).unwrap_or_default());
        state.made = Some((now, made.clone()));
        made
    }

    async fn look(&self, state: &mut State) -> Overview {
        let at_ms = self.env.wall_ms();
        let status = NodeStatus::of(&self.client).await;
        let sample = Sample::of(status, state.sample.as_ref());
        let mut troubles = sample.troubles.clone();
        if let Err(refusal) = state.links.read(&self.client, at_ms * 1_000).await {
            troubles.push(format!("message records cannot be read: {refusal:?}"));
        }
        let nodes = nodes(&sample);
        let rate = |to: &Place| {
            let row =
                sample.rows.iter().find(|row| row.capability == to.capability && Some(&row.node) == to.node.as_ref());
            row.map_or(0.0, |row| row.rate)
        };
        let links = state.links.at_rates(rate);
        let layout = Layout::of(&nodes, &links);
        state.sample = Some(sample);
        Overview { at_ms, nodes, links, troubles, layout }
    }
}

fn nodes(sample: &Sample) -> Vec<NodeShown> {
    let own = NodeStatus { members: Vec::new(), absent: Vec::new(), ..sample.report.clone() };
    let mut nodes = vec![shown(&own.node.clone(), Some(own), None, NodeState::Ready, 0)];
    for MemberStatus { node, state, heard_ms_ago, report, problem, capabilities, .. } in &sample.report.members {
        let mut member = shown(node, report.as_deref().cloned(), problem.clone(), *state, *heard_ms_ago);
        member.hosted = capabilities.keys().cloned().collect();
        nodes.push(member);
    }
    for node in &mut nodes {
        node.rows = sample.rows.iter().filter(|row| row.node == node.name).cloned().collect();
    }
    nodes.extend(sample.report.absent.iter().map(absent));
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

fn absent(AbsentStatus { node, hosted, absent_ms, refused, why }: &AbsentStatus) -> NodeShown {
    NodeShown {
        state: if *refused { NodeStanding::Refused } else { NodeStanding::Gone },
        hosted: hosted.clone(),
        ..shown(node, None, Some(why.clone()), NodeState::Ready, *absent_ms)
    }
}

fn shown(
    name: &str,
    report: Option<NodeStatus>,
    problem: Option<String>,
    state: NodeState,
    heard_ms_ago: u64,
) -> NodeShown {
    let state = match (&report, state) {
        (None, _) => NodeStanding::Silent,
        (Some(report), _) if report.draining => NodeStanding::Draining,
        (_, NodeState::Draining) => NodeStanding::Draining,
        (Some(report), _) if !report.reasons.is_empty() => NodeStanding::NotReady,
        _ => NodeStanding::Ready,
    };
    let hosted = report.iter().flat_map(|report| report.capabilities.keys().cloned()).collect();
    NodeShown { name: name.into(), state, heard_ms_ago, report, problem, hosted, rows: Vec::new() }
}

impl Layout {
    const CAPABILITY: (f64, f64) = (190.0, 64.0);
    /// Around the capabilities of a node, and above them for its name.
    const MARGIN: f64 = 18.0;
    const HEAD: f64 = 40.0;
    const OUTSIDE: (f64, f64) = (90.0, 44.0);

    fn of(nodes: &[NodeShown], links: &[Link]) -> Self {
        let mut layout = Self::default();
        let inside: Vec<(Vec<&String>, Places)> = nodes.iter().map(|node| Self::inside(node, links)).collect();
        let mut sizes: Vec<_> = inside
            .iter()
            .map(|(_, places)| {
                let width = places.width.max(Self::CAPABILITY.0) + 2.0 * Self::MARGIN;
                (width, places.height + Self::MARGIN + Self::HEAD)
            })
            .collect();
        let outside = nodes.len();
        let has_outside = links.iter().any(|link| link.from.node.is_none());
        if has_outside {
            sizes.push(Self::OUTSIDE);
        }
        let index = |node: &Option<String>| match node {
            Some(name) => nodes.iter().position(|node| node.name == *name),
            None => has_outside.then_some(outside),
        };
        let edges: Vec<_> = links.iter().filter_map(|link| index(&link.from.node).zip(index(&link.to.node))).collect();
        let Places { corners, width, height } = place(&sizes, &edges);
        (layout.width, layout.height) = (width, height);
        let rectangle = |(x, y): (f64, f64), (width, height): (f64, f64)| Rectangle { x, y, width, height };
        layout.outside = has_outside.then(|| rectangle(corners[outside], sizes[outside]));
        for (((node, (names, places)), corner), size) in nodes.iter().zip(&inside).zip(&corners).zip(&sizes) {
            layout.nodes.insert(node.name.clone(), rectangle(*corner, *size));
            let placed = names.iter().zip(&places.corners).map(|(name, (x, y))| {
                let corner = (corner.0 + Self::MARGIN + x, corner.1 + Self::HEAD + y);
                (name.to_string(), rectangle(corner, Self::CAPABILITY))
            });
            layout.capabilities.insert(node.name.clone(), placed.collect());
        }
        layout
    }

    /// The capabilities of a node, placed by what they send each other.
    fn inside<'a>(node: &'a NodeShown, links: &[Link]) -> (Vec<&'a String>, Places) {
        let names: Vec<_> = node.hosted.iter().collect();
        let sizes = vec![Self::CAPABILITY; names.len()];
        let index = |place: &Place| {
            let is_here = place.node.as_ref() == Some(&node.name);
            is_here.then(|| names.iter().position(|name| **name == place.capability)).flatten()
        };
        let edges: Vec<_> = links.iter().filter_map(|link| index(&link.from).zip(index(&link.to))).collect();
        let places = place(&sizes, &edges);
        (names, places)
    }
}

/// The overview; for who accepts events, one each second.
pub(crate) async fn show(console: Data<Console>, http: HttpRequest) -> HttpResponse {
    if !accepts_events(http.headers()) {
        return HttpResponse::Ok().content_type("application/json").body(console.overview().await);
    }
    let place = match console.readers.place() {
        Ok(place) => place,
        Err(refusal) => return refusal.into(),
    };
    event_stream(unfold((console.into_inner(), place, false), async |(console, place, has_begun)| {
        if has_begun {
            tokio::time::sleep(EVERY).await;
        }
        if console.draining.load(Ordering::Acquire) {
            return None;
        }
        let event = event(&console.overview().await);
        Some((Ok(event), (console, place, true)))
    }))
}
