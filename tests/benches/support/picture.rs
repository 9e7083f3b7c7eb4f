//! The ratios of a run as a picture: a bar for each, beside the line that is its reference.

use std::fmt::Write;

/// A bar: its name, the ratio, and the figure in words.
pub struct Bar {
    pub name: String,
    pub ratio: f64,
    pub figure: String,
}

const ROW: usize = 22;
const LEFT: usize = 230;
const WIDTH: usize = 360;
const RIGHT: usize = 330;

/// An SVG file. Ratios grow by powers of two to both sides of the line, a half as far as a double.
pub fn draw(bars: &[Bar]) -> String {
    let (width, height) = (LEFT + WIDTH + RIGHT, ROW * (bars.len() + 2));
    let at = |ratio: f64| LEFT as f64 + WIDTH as f64 * (ratio.clamp(0.125, 8.0).log2() + 3.0) / 6.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for ratio in [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        let (x, dark) = (at(ratio), if ratio == 1.0 { "#333" } else { "#ddd" });
        let bottom = height - ROW;
        let _ = writeln!(svg, "<path d=\"M{x:.1} {ROW}V{bottom}\" stroke=\"{dark}\"/>");
        let y = height - 6;
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#555\">{ratio}</text>");
    }
    for (row, bar) in bars.iter().enumerate() {
        let top = ROW * (row + 1);
        let (one, end) = (at(1.0), at(bar.ratio));
        let (x, length) = (one.min(end), (end - one).abs().max(1.0));
        let (bar_top, height, text) = (top + 4, ROW - 8, top + 15);
        let Bar { name, ratio, figure } = bar;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>", LEFT - 8);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{bar_top}\" width=\"{length:.1}\" height=\"{height}\" fill=\"#4a7ba6\"/>"
        );
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\">{ratio:.2} · {figure}</text>", LEFT + WIDTH + 8);
    }
    svg + "</svg>\n"
}
