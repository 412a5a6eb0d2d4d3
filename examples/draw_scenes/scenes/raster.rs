//! Filled polygons on a canvas of three by three samples a pixel, and a pen that draws them in its own frame.

use image::{Rgb, RgbImage};

use super::rng::Rng;

/// Side of a picture in pixels.
pub(super) const SIDE: f32 = 224.0;

/// Samples a pixel in each direction.
const SAMPLES: usize = 3;

/// Samples on one side of the canvas.
const N: usize = SIDE as usize * SAMPLES;

/// A colour in 0..=255.
pub(super) type Color = [f32; 3];

/// A point: pixels on a canvas, units of its frame for a pen.
pub(super) type Point = (f32, f32);

/// Lighter (above 1) or darker.
pub(super) fn shade(color: Color, factor: f32) -> Color {
    color.map(|value| (value * factor).clamp(0.0, 255.0))
}

/// Between two colours.
pub(super) fn mix(a: Color, b: Color, part: f32) -> Color {
    [0, 1, 2].map(|channel| a[channel] + (b[channel] - a[channel]) * part)
}

/// The point of the unit circle after some turns, clockwise from the right as y grows downwards.
///
/// A series instead of the system's sine, whose last bit differs between systems.
pub(super) fn on_circle(turns: f32) -> Point {
    (sine(turns + 0.25), sine(turns))
}

fn sine(turns: f32) -> f32 {
    let turns = turns - turns.floor();
    let quarter = if turns < 0.25 {
        turns
    } else if turns < 0.75 {
        0.5 - turns
    } else {
        turns - 1.0
    };
    let x = quarter * std::f32::consts::TAU;
    let square = x * x;
    x * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))))
}

/// The outline of an ellipse.
pub(super) fn oval((x, y): Point, (rx, ry): Point) -> Vec<Point> {
    arc((x, y), (rx, ry), 0.0, 1.0)
}

/// A part of the outline of an ellipse, from one turn to another.
pub(super) fn arc((x, y): Point, (rx, ry): Point, from: f32, to: f32) -> Vec<Point> {
    let points = (0..=40).map(|step| on_circle(from + (to - from) * step as f32 / 40.0));
    points.map(|(dx, dy)| (x + rx * dx, y + ry * dy)).collect()
}

/// The corners of an upright rectangle.
pub(super) fn rect((left, top): Point, (right, bottom): Point) -> Vec<Point> {
    vec![(left, top), (right, top), (right, bottom), (left, bottom)]
}

/// The picture in the making.
pub(super) struct Canvas(Vec<Color>);

impl Canvas {
    /// All of one colour.
    pub(super) fn new(color: Color) -> Self {
        Self(vec![color; N * N])
    }

    /// Fills a polygon with a vertical gradient; crossing outlines leave holes.
    pub(super) fn fill(&mut self, points: &[Point], top: Color, bottom: Color, opacity: f32) {
        let scaled: Vec<Point> =
            points.iter().map(|&(x, y)| (x * SAMPLES as f32, y * SAMPLES as f32)).collect();
        let first = scaled.iter().map(|point| point.1).fold(f32::INFINITY, f32::min);
        let last = scaled.iter().map(|point| point.1).fold(f32::NEG_INFINITY, f32::max);
        for row in sample_range(first, last) {
            let y = row as f32 + 0.5;
            let part = (y - first) / (last - first).max(1.0);
            // Few steps keep the lossless files small; the eye does not see them.
            let color = mix(top, bottom, (part * 12.0).floor() / 12.0);
            for pair in crossings(&scaled, y).chunks_exact(2) {
                for column in sample_range(pair[0], pair[1]) {
                    let sample = &mut self.0[row * N + column];
                    *sample = mix(*sample, color, opacity);
                }
            }
        }
    }

    /// Averages the samples of each pixel and adds grain of up to ± `grain`.
    pub(super) fn finish(&self, rng: &mut Rng, grain: i32) -> RgbImage {
        RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            let mut sum: Color = [0.0; 3];
            for row in 0..SAMPLES {
                for column in 0..SAMPLES {
                    let at = (y as usize * SAMPLES + row) * N + x as usize * SAMPLES + column;
                    sum.iter_mut().zip(self.0[at]).for_each(|(sum, value)| *sum += value);
                }
            }
            let noise = rng.between(-(grain as f32), grain as f32);
            let mean = sum.map(|value| value / (SAMPLES * SAMPLES) as f32 + noise);
            Rgb(mean.map(|value| value.round().clamp(0.0, 255.0) as u8))
        })
    }
}

/// The samples whose middle lies between two positions.
fn sample_range(from: f32, to: f32) -> std::ops::Range<usize> {
    let index = |position: f32| (position - 0.5).ceil().clamp(0.0, N as f32) as usize;
    index(from)..index(to)
}

/// Where a horizontal line crosses the outline, in order.
fn crossings(points: &[Point], y: f32) -> Vec<f32> {
    let nexts = points.iter().cycle().skip(1);
    let edges = points.iter().zip(nexts).filter(|(a, b)| (a.1 <= y) != (b.1 <= y));
    let mut found: Vec<f32> =
        edges.map(|(a, b)| a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0)).collect();
    found.sort_by(f32::total_cmp);
    found
}

/// Draws in a frame of its own: x and y in -1..=1 fill a square of the canvas.
pub(super) struct Pen<'a> {
    /// What is drawn on.
    pub(super) canvas: &'a mut Canvas,
    /// The frame's middle in pixels.
    pub(super) center: Point,
    /// Half of the frame's side in pixels.
    pub(super) radius: f32,
    /// Whether left and right are exchanged.
    pub(super) is_mirrored: bool,
    /// Rotation in turns.
    pub(super) tilt: f32,
}

impl Pen<'_> {
    /// A filled polygon, a little lighter at the top.
    pub(super) fn fill(&mut self, points: &[Point], color: Color) {
        let points = self.placed(points);
        self.canvas.fill(&points, shade(color, 1.08), shade(color, 0.88), 1.0);
    }

    /// A filled polygon with a darker outline.
    pub(super) fn body(&mut self, points: &[Point], color: Color) {
        self.fill(points, color);
        let closed = [points, &points[..1]].concat();
        self.line(&closed, 0.035, outline(color));
    }

    /// A line through points with round joints; the width is in units of the frame.
    pub(super) fn line(&mut self, points: &[Point], width: f32, color: Color) {
        let half = width / 2.0;
        for pair in points.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let (dx, dy) = (bx - ax, by - ay);
            let length = (dx * dx + dy * dy).sqrt().max(1e-6);
            let (nx, ny) = (-dy / length * half, dx / length * half);
            let quad =
                [(ax + nx, ay + ny), (bx + nx, by + ny), (bx - nx, by - ny), (ax - nx, ay - ny)];
            self.plain(&quad, color);
        }
        for &point in points {
            self.plain(&oval(point, (half, half)), color);
        }
    }

    /// A filled disc.
    pub(super) fn disc(&mut self, center: Point, radius: f32, color: Color) {
        self.fill(&oval(center, (radius, radius)), color);
    }

    fn plain(&mut self, points: &[Point], color: Color) {
        let points = self.placed(points);
        self.canvas.fill(&points, color, color, 1.0);
    }

    fn placed(&self, points: &[Point]) -> Vec<Point> {
        let (cos, sin) = on_circle(self.tilt);
        let place = |&(x, y): &Point| {
            let x = if self.is_mirrored { -x } else { x };
            let (x, y) = (x * cos - y * sin, x * sin + y * cos);
            (self.center.0 + x * self.radius, self.center.1 + y * self.radius)
        };
        points.iter().map(place).collect()
    }
}

/// Dark around light things, light around black ones.
fn outline(color: Color) -> Color {
    let is_dark = color.iter().sum::<f32>() < 150.0;
    if is_dark { [95.0, 95.0, 100.0] } else { shade(color, 0.6) }
}
