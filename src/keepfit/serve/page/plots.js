// Small plots in SVG: a line without axes, and points with both.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#3b7dd8", "#d9822b", "#2f9e6b", "#b5487f", "#7a5fc7", "#8a8d2a", "#3aa6a6", "#c2504d"];

function svg(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

/** Draws values of the last moments as a line; the newest is at the right. */
export function sparkline(element, values) {
  const width = element.clientWidth || 150, height = element.clientHeight || 40;
  const top = Math.max(...values, 1e-9), step = width / 59;
  const start = width - step * (values.length - 1);
  const line = values.map((value, place) => `${place ? "L" : "M"}${start + place * step} ${height - 2 - (value / top) * (height - 4)}`);
  element.replaceChildren(svg("path", { d: line.join("") }));
}

/** Draws points with their axes, one colour for each group, and says in the legend which is which. */
export function plot(element, legend, points, axis) {
  const width = element.clientWidth || 600, height = element.clientHeight || 280;
  const left = 56, right = 12, top = 10, bottom = 34;
  element.replaceChildren();
  legend.replaceChildren();
  if (!points.length) {
    element.append(svg("text", { x: left, y: height / 2 }, "No candidate has a score against this."));
    return;
  }
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const isLog = Math.min(...xs) > 0 && Math.max(...xs) / Math.min(...xs) > 100;
  const scale = isLog ? Math.log10 : Number;
  const [x, y] = [between(xs.map(scale), left, width - right), between(ys, height - bottom, top)];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const value = y.low + share * (y.high - y.low), place = y.at(value);
    element.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: place, y2: place }),
      svg("text", { x: left - 6, y: place + 4, "text-anchor": "end" }, value.toPrecision(4)));
    const along = x.low + share * (x.high - x.low);
    element.append(svg("text", { x: x.at(along), y: height - bottom + 16, "text-anchor": "middle" },
      String(Number((isLog ? 10 ** along : along).toPrecision(3)))));
  }
  element.append(svg("text", { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" }, axis));
  const groups = [...new Set(points.map((point) => point.group))];
  for (const point of points) {
    const colour = COLOURS[groups.indexOf(point.group) % COLOURS.length];
    const dot = svg("circle", { cx: x.at(scale(point.x)), cy: y.at(point.y), r: 4, fill: colour, "fill-opacity": 0.75 });
    dot.append(svg("title", {}, point.label));
    element.append(dot);
  }
  groups.forEach((group, place) => {
    const mark = document.createElement("span");
    mark.style.color = COLOURS[place % COLOURS.length];
    mark.textContent = "● ";
    legend.append(mark, `${group}   `);
  });
}

function between(values, start, stop) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - Math.abs(low) * 0.05 - 1e-9, high + Math.abs(high) * 0.05 + 1e-9];
  return { low, high, at: (value) => start + ((value - low) / (high - low)) * (stop - start) };
}
