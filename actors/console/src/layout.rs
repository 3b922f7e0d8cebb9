//! Where boxes and arrows are drawn: from left to right, as messages go.

use rust_sugiyama::configure::Config;
use rust_sugiyama::from_vertices_and_edges;
use serde::Serialize;

/// Room around a box.
const GAP: f64 = 36.0;
const HEIGHT: f64 = 40.0;
/// Of a letter, and beside the first and the last one.
const LETTER: f64 = 7.6;
const MARGIN: f64 = 28.0;

/// A graph with places.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Drawing {
    pub width: f64,
    pub height: f64,
    pub nodes: Vec<Placed>,
    pub edges: Vec<Arrow>,
}

/// A box, by its upper left corner.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Placed {
    pub name: String,
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// Messages to it that failed.
    pub failed: u64,
}

/// An arrow between two boxes.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Arrow {
    pub from: String,
    pub to: String,
    pub messages: u64,
    pub failed: u64,
    pub points: Vec<(f64, f64)>,
}

/// Draws boxes with these names, and arrows between them: from, to, messages, and how many of them failed.
pub(crate) fn draw(names: &[String], links: &[(usize, usize, u64, u64)]) -> Drawing {
    let sizes: Vec<_> = names.iter().map(|name| (name.chars().count() as f64 * LETTER + MARGIN, HEIGHT)).collect();
    let ends: Vec<_> = links.iter().map(|(from, to, ..)| (*from, *to)).collect();
    let Places { corners, width, height } = place(&sizes, &ends);
    let boxes = names.iter().zip(&sizes).zip(&corners).enumerate();
    let nodes = boxes.map(|(index, ((name, (width, height)), (x, y)))| Placed {
        name: name.clone(),
        x: *x,
        y: *y,
        width: *width,
        height: *height,
        failed: links.iter().filter(|(_, to, ..)| *to == index).map(|(.., failed)| failed).sum(),
    });
    let mut drawing = Drawing { width, height, nodes: nodes.collect(), edges: Vec::new() };
    drawing.edges = links.iter().map(|link| arrow(&drawing.nodes, *link)).collect();
    drawing
}

fn arrow(nodes: &[Placed], (from, to, messages, failed): (usize, usize, u64, u64)) -> Arrow {
    let (a, b) = (&nodes[from], &nodes[to]);
    let middle = |node: &Placed| node.y + node.height / 2.0;
    let points = if from == to {
        let (right, out) = (a.x + a.width, a.x + a.width + GAP / 2.0);
        let (above, below) = (middle(a) - HEIGHT / 4.0, middle(a) + HEIGHT / 4.0);
        vec![(right, above), (out, above), (out, below), (right, below)]
    } else if a.x <= b.x {
        vec![(a.x + a.width, middle(a)), (b.x, middle(b))]
    } else {
        // What goes back leaves and enters on the other sides.
        vec![(a.x, middle(a)), (b.x + b.width, middle(b))]
    };
    Arrow { from: a.name.clone(), to: b.name.clone(), messages, failed, points }
}

/// Upper left corners, and the room that all take.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub corners: Vec<(f64, f64)>,
    pub width: f64,
    pub height: f64,
}

/// Places boxes of these sizes so that what is joined is near, and messages go to the right.
pub(crate) fn place(sizes: &[(f64, f64)], edges: &[(usize, usize)]) -> Places {
    let config = Config { vertex_spacing: GAP, ..Config::default() };
    // The algorithm draws downwards: width and height change places.
    let vertices: Vec<_> = (0..).zip(sizes).map(|(index, (width, height))| (index, (*height, *width))).collect();
    let mut joined: Vec<_> =
        edges.iter().filter(|(from, to)| from != to).map(|(from, to)| (*from as u32, *to as u32)).collect();
    joined.sort_unstable();
    joined.dedup();
    let mut places = Places { corners: vec![(0.0, 0.0); sizes.len()], ..Places::default() };
    for (part, ..) in from_vertices_and_edges(&vertices, &joined, &config) {
        let corners: Vec<_> = part
            .into_iter()
            .map(|(index, (across, along))| {
                let (width, height) = sizes[index];
                (index, along - width / 2.0, across - height / 2.0)
            })
            .collect();
        let left = corners.iter().map(|(_, x, _)| *x).fold(f64::INFINITY, f64::min);
        let top = corners.iter().map(|(.., y)| *y).fold(f64::INFINITY, f64::min);
        let below = if places.height == 0.0 { 0.0 } else { places.height + GAP };
        for (index, x, y) in corners {
            let (x, y) = (x - left, y - top + below);
            places.corners[index] = (x, y);
            places.width = places.width.max(x + sizes[index].0);
            places.height = places.height.max(y + sizes[index].1);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use essaim::Env;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("box-{number}")).collect()
    }

    fn overlaps(a: &Placed, b: &Placed) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    #[test]
    fn messages_go_to_the_right() {
        let drawing = draw(&names(3), &[(0, 1, 5, 0), (1, 2, 3, 2), (0, 2, 1, 0)]);
        let [a, b, c] = &drawing.nodes[..] else { panic!("three boxes") };
        assert!(a.x + a.width < b.x && b.x + b.width < c.x, "{drawing:?}");
        assert_eq!((a.failed, b.failed, c.failed), (0, 0, 2));
        assert_eq!(drawing.edges[1].points, [(b.x + b.width, b.y + 20.0), (c.x, c.y + 20.0)]);
    }

    #[test]
    fn no_box_covers_another_whatever_is_joined() {
        let env = Env::simulated(7, std::time::Duration::ZERO);
        for count in 0..30 {
            let pick = || env.random() as usize % count.max(1);
            let links: Vec<_> = (0..if count == 0 { 0 } else { count * 2 }).map(|_| (pick(), pick(), 1, 0)).collect();
            let drawing = draw(&names(count), &links);
            for (index, a) in drawing.nodes.iter().enumerate() {
                assert!(a.x >= 0.0 && a.x + a.width <= drawing.width && a.y + a.height <= drawing.height);
                assert!(drawing.nodes[..index].iter().all(|b| !overlaps(a, b)), "{count}: {drawing:?}");
            }
        }
    }
}
