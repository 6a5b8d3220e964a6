"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // -- texts, numbers, elements ---------------------------------------------------------------------

  // Characters without a shape are shown by the symbols that stand for them, and those that turn the
  // direction of what follows by their numbers: a name is read in the order that it has.
  const visible = (text) => String(text)
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase()}]`);

  function el(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined) continue;
      if (key.startsWith("aria-")) element.setAttribute(key, String(value));
      else if (value === false) continue;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const named = (text) => el("bdi", {}, visible(text));

  function number(value, signed) {
    if (value === null || value === undefined || Number.isNaN(value)) return "unknown";
    if (!Number.isFinite(value)) return value > 0 ? "infinite" : "-infinite";
    const size = Math.abs(value);
    const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
    return signed && value > 0 ? "+" + text : text;
  }

  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || one + "s"}`;

  function say(text) {
    document.getElementById("status").textContent = text;
  }

  // -- numbers as Python packed them ----------------------------------------------------------------

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function unpack(packed) {
    if (!packed) return null;
    const binary = atob(packed.data), bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    const view = new DataView(bytes.buffer);
    const size = packed.shape.reduce((a, b) => a * b, 1), width = size ? bytes.length / size : 1;
    const read = {
      float32: (i) => view.getFloat32(4 * i, true),
      float16: (i) => half(view.getUint16(2 * i, true)) / packed.scale,
      uint8: (i) => bytes[i],
      uint16: (i) => view.getUint16(2 * i, true),
      uint32: (i) => view.getUint32(4 * i, true),
    }[packed.dtype];
    const values = new Float64Array(size);
    for (let i = 0; i < size; i++) values[i] = read(i);
    return { shape: packed.shape, values, width };
  }

  // -- what the page is about -----------------------------------------------------------------------

  const classes = data.classes;
  const weighted = data.weighted ? "weighted " : "";
  const table = Object.fromEntries(Object.entries(data.table).map(([key, value]) => [key, key === "names" ? value : unpack(value)]));
  const train = { ...data.train, labels: unpack(data.train.labels), images: unpack(data.train.images) };
  const test = { ...data.test, images: unpack(data.test.images) };
  const shown = {};
  for (const [key, value] of Object.entries(data.shown)) {
    shown[key] = value && value.dtype ? unpack(value) : value;
  }
  const placeOfTest = new Map(Array.from(shown.tests.values, (row, place) => [row, place]));

  // How rows and groups are left out, in words.
  const METHODS = { refined: "refitted", newton: "by one Newton step", first_order: "by first order" };

  // A name that may be broken behind its underscores.
  const breakable = (name) => el("span", {}, ...name.split("_").flatMap((part, i) => (i ? ["_", el("wbr"), part] : [part])));

  const testName = (row) => (table.names ? table.names[row] : String(row));
  const label = (packed, i) => (classes ? classes[packed.values[i]] : number(packed.values[i]));
  const trainLabel = (i) => label(train.labels, i);

  function picture(images, i, title) {
    if (!images) return null;
    const [, height, width, depth] = images.shape, size = height * width * (depth || 1);
    const canvas = el("canvas", { width, height, role: "img", "aria-label": title });
    const scale = Math.max(1, Math.round(64 / Math.max(width, height)));
    canvas.style.width = `${width * scale}px`;
    canvas.style.height = `${height * scale}px`;
    const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
    for (let p = 0; p < height * width; p++) {
      for (let c = 0; c < 3; c++) {
        pixels.data[4 * p + c] = images.values[i * size + (depth ? p * depth + c : p)];
      }
      pixels.data[4 * p + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  const snippet = (texts, i) => (texts ? el("p", { class: "snippet", tabindex: 0, role: "group", "aria-label": "Text" }, named(texts[i])) : null);

  // Where there is no room for its columns, each row of a table is a paragraph in which numbers follow
  // the names of their columns. The roles are said because such a display takes them from the elements.
  function makeTable(caption, heads, rows) {
    const kind = (j) => (heads[j].number ? "number" : null);
    const head = el("tr", { role: "row" }, ...heads.map((h, j) => el("th", { scope: "col", role: "columnheader", class: kind(j) }, h.text)));
    const body = rows.map((cells) => el("tr", { role: "row" }, ...cells.map((cell, j) =>
      el("td", { role: "cell", class: kind(j), "data-head": j ? heads[j].text : null }, cell))));
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      el("table", { role: "table", class: heads.length > 3 ? "wide" : null }, el("caption", {}, caption),
        el("thead", { role: "rowgroup" }, head), el("tbody", { role: "rowgroup" }, ...body)));
  }

  // -- tabs -----------------------------------------------------------------------------------------

  const tabs = Array.from(document.querySelectorAll("[role=tab]"));
  const built = new Set();

  function open(id, focus) {
    for (const tab of tabs) {
      const on = tab.id === `tab-${id}`;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
    build(id);
  }

  function build(id) {
    if (built.has(id)) return;
    built.add(id);
    const panel = document.getElementById(`panel-${id}`);
    ({ overview, predictions, labels: labelsTab, "what-if": whatIf, diagnostics })[id](panel);
  }

  tabs.forEach((tab, i) => {
    const id = tab.id.slice(4);
    tab.addEventListener("click", () => open(id));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? tabs.length - 1 : step ? (i + step + tabs.length) % tabs.length : null;
      if (to === null) return;
      event.preventDefault();
      open(tabs[to].id.slice(4), true);
    });
  });

  // -- overview -------------------------------------------------------------------------------------

  function overview(panel) {
    const found = data.overview;
    const facts = el("dl", {}, ...found.facts.flatMap(([what, value]) => [el("dt", {}, what), el("dd", { class: value.length > 80 ? "long" : null }, named(value))]));
    const scores = makeTable("Scores: each training row predicted without it, and the test rows",
      [{ text: "score" }, { text: "leave-one-out", number: true }, { text: "test", number: true }],
      found.scores.map((s) => [breakable(s.name), number(s.loo), s.test === null ? "none" : number(s.test)]));
    const routes = Object.entries(found.routes).map(([kind, n]) => `${n.toLocaleString("en")} ${METHODS[kind] || kind}`).join(", ");
    const rows = el("dl", {},
      el("dt", {}, "How rows are left out"), el("dd", {}, routes),
      el("dt", {}, "Certified"), el("dd", {}, `${count(found.certified, "row")} with a finite bound of the error`),
      el("dt", {}, "Undefined"), el("dd", {}, ...(found.routes.undefined
        ? [`${count(found.routes.undefined, "row")} without a model of the rest: `, named(found.undefined.join(", "))] : ["none"])),
      el("dt", {}, "Mean loss"), el("dd", {}, `${number(found.loss.loo)} ± ${number(found.loss.standard_error)} leave-one-out, ${number(found.loss.train)} in training`));
    const look = el("ol", { class: "look" }, ...found.look.map((each) => el("li", {},
      each.kind === "test" && each.place !== null && each.place !== undefined
        ? el("button", { type: "button", onclick: () => { open("predictions", true); selectTest(each.row); } }, "Test row ", named(each.name))
        : el("strong", {}, each.kind === "test" ? "Test row " : "Training row ", named(each.name)),
      " ", named(each.reason))));
    panel.append(
      el("div", { class: "cards" },
        el("div", { class: "card" }, el("h2", {}, "The model"), facts),
        el("div", { class: "card" }, el("h2", {}, "How well it predicts"), scores,
          data.has_labels ? null : el("p", {}, "The test rows came without labels: there are no test scores and no errors.")),
        el("div", { class: "card" }, el("h2", {}, "The rows left out"), rows)),
      el("h2", {}, "Look at these rows first"), look);
    if (data.warnings.length) {
      panel.append(el("h2", {}, "Warnings of the computation"), el("ul", {}, ...data.warnings.map((w) => el("li", {}, named(w)))));
    }
  }

  // -- predictions ----------------------------------------------------------------------------------

  const ROW = 34;
  let selectTest = () => {};

  function columns() {
    const found = [{ key: "name", text: "row", width: "minmax(4.6rem, 1.25fr)", cell: (i) => named(testName(i)), sort: (i) => testName(i) }];
    if (table.given) found.push({ key: "given", text: classes ? "label" : "response", width: "minmax(4rem, 1.1fr)", number: !classes,
      cell: (i) => named(label(table.given, i)), sort: (i) => (classes ? label(table.given, i) : table.given.values[i]) });
    found.push({ key: "predicted", text: "predicted", width: "minmax(5.6rem, 1.3fr)", number: !classes,
      cell: (i) => (table.error && table.error.values[i]
        ? el("span", { class: "error" }, "✗ ", named(label(table.predicted, i))) : named(label(table.predicted, i))),
      sort: (i) => (classes ? label(table.predicted, i) : table.predicted.values[i]) });
    if (table.probability) found.push({ key: "probability", text: "probability", width: "minmax(6.4rem, 1fr)", number: true, optional: true,
      cell: (i) => number(table.probability.values[i]), sort: (i) => table.probability.values[i] });
    if (table.loss) found.push({ key: "loss", text: "loss", width: "minmax(4.5rem, .8fr)", number: true,
      cell: (i) => number(table.loss.values[i]), sort: (i) => table.loss.values[i] });
    return found;
  }

  function predictions(panel) {
    const columnsOf = columns(), state = { sort: null, down: false, rows: [], selected: null };
    const search = el("input", { type: "search", id: "filter", placeholder: "part of a name or label" });
    const kinds = [["all", "all rows"]];
    if (table.error && classes) kinds.push(["errors", "errors"], ["right", "right predictions"]);
    kinds.push(["details", "rows with details"]);
    const kind = el("select", { id: "kind" }, ...kinds.map(([value, text]) => el("option", { value }, text)));
    const tally = el("span", { class: "soft", id: "tally" });
    const body = el("div", { class: "body", role: "rowgroup" });
    const heads = columnsOf.map((column, j) => el("div", {
      class: `cell${column.number ? " number" : ""}${column.optional ? " optional" : ""}`, role: "columnheader", "aria-sort": "none", "aria-colindex": j + 1 },
      el("button", { type: "button", "data-key": column.key, onclick: () => sortBy(column) }, column.text)));
    const head = el("div", { role: "rowgroup", class: "head" }, el("div", { class: "row", role: "row", "aria-rowindex": 1 }, ...heads));
    const grid = el("div", { class: "grid", role: "grid", tabindex: 0, "aria-label": "Test rows", "aria-colcount": columnsOf.length, id: "grid" }, head, body);
    const detail = el("div", { class: "card", id: "detail", role: "region", "aria-label": "Details of the chosen test row", tabindex: -1 },
      el("p", {}, "Choose a test row: click it, or move with the arrow keys."));

    // In a narrow window columns share the room by their longest texts, so that as few as can be are cut.
    const size = (c, i) => (c.number ? 9.5 : 1.5 + c.sort(i).length + (c.key === "predicted" ? 2 : 0));
    const longest = columnsOf.map((c) => table.order.values.reduce((most, i) => Math.min(24, Math.max(most, size(c, i))), c.text.length));
    const widths = () => {
      const narrow = window.matchMedia("(max-width: 480px)").matches;
      const width = (c, j) => (narrow ? `minmax(0, ${longest[j]}fr)` : c.width);
      grid.style.setProperty("--columns", columnsOf.map((c, j) => (narrow && c.optional ? "" : width(c, j))).join(" "));
    };

    function sortBy(column) {
      state.down = state.sort === column ? !state.down : Boolean(column.number);
      state.sort = column;
      heads.forEach((h, j) => h.setAttribute("aria-sort", columnsOf[j] !== column ? "none" : state.down ? "descending" : "ascending"));
      arrange();
      say(`Sorted by ${column.text}, ${state.down ? "descending" : "ascending"}.`);
    }

    function arrange() {
      const words = search.value.trim().toLowerCase();
      let rows = Array.from(table.order.values);
      if (kind.value === "errors") rows = rows.filter((i) => table.error.values[i]);
      if (kind.value === "right") rows = rows.filter((i) => !table.error.values[i]);
      if (kind.value === "details") rows = rows.filter((i) => placeOfTest.has(i));
      if (words) {
        rows = rows.filter((i) => `${testName(i)}\n${classes && table.given ? label(table.given, i) : ""}\n${classes ? label(table.predicted, i) : ""}`.toLowerCase().includes(words));
      }
      if (state.sort) {
        const key = state.sort.sort, sign = state.down ? -1 : 1, numeric = (v) => typeof v === "number";
        rows = rows.map((row, place) => ({ row, place, value: key(row) }));
        rows.sort((a, b) => {
          if (numeric(a.value)) {
            if (Number.isNaN(a.value) || Number.isNaN(b.value)) return Number.isNaN(a.value) - Number.isNaN(b.value) || a.place - b.place;
            return sign * (a.value - b.value) || a.place - b.place;
          }
          return sign * a.value.localeCompare(b.value, "en", { numeric: true }) || a.place - b.place;
        });
        rows = rows.map((each) => each.row);
      }
      state.rows = rows;
      body.style.height = `${rows.length * ROW}px`;
      grid.setAttribute("aria-rowcount", rows.length + 1);
      tally.textContent = `${rows.length.toLocaleString("en")} of ${count(data.n_test, "test row")}`;
      grid.scrollTop = 0;
      draw();
    }

    function draw(all) {
      const first = all ? 0 : Math.max(0, Math.floor(grid.scrollTop / ROW) - 5);
      const last = Math.min(state.rows.length, all || first + Math.ceil(grid.clientHeight / ROW) + 12);
      const parts = [];
      for (let place = first; place < last; place++) {
        const i = state.rows[place];
        const row = el("div", { class: "row", role: "row", id: `row-${i}`, "aria-rowindex": place + 2, "aria-selected": i === state.selected, onclick: () => choose(i) },
          ...columnsOf.map((c, j) => el("div", { class: `cell${c.number ? " number" : ""}${c.optional ? " optional" : ""}`, role: "gridcell", "aria-colindex": j + 1 }, c.cell(i))));
        row.style.top = `${place * ROW}px`;
        parts.push(row);
      }
      body.replaceChildren(...parts);
      if (!all) marked();
    }

    function marked() {
      const there = state.selected !== null && document.getElementById(`row-${state.selected}`);
      if (there) grid.setAttribute("aria-activedescendant", `row-${state.selected}`);
      else grid.removeAttribute("aria-activedescendant");
    }

    function reveal(i) {
      const place = state.rows.indexOf(i), top = place * ROW, room = grid.clientHeight - 2 * ROW;
      if (place < 0) return;
      if (top < grid.scrollTop) grid.scrollTop = top;
      else if (top > grid.scrollTop + room) grid.scrollTop = top - room;
      draw();
    }

    function choose(i, unasked) {
      state.selected = i;
      reveal(i);
      detail.replaceChildren(...details(i));
      if (!unasked) say(`Test row ${testName(i)}`);
    }

    selectTest = (i) => {
      search.value = "";
      kind.value = "all";
      arrange();
      choose(i);
    };

    grid.addEventListener("scroll", () => draw(), { passive: true });
    grid.addEventListener("keydown", (event) => {
      if (event.target !== grid) return;
      const page = Math.max(1, Math.floor(grid.clientHeight / ROW) - 2), here = state.rows.indexOf(state.selected);
      const to = { ArrowDown: here + 1, ArrowUp: here < 0 ? 0 : here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: state.rows.length - 1 }[event.key];
      if (event.key === "Enter") detail.focus();
      if (to === undefined || !state.rows.length) return;
      event.preventDefault();
      choose(state.rows[Math.max(0, Math.min(state.rows.length - 1, to))]);
    });
    search.addEventListener("input", arrange);
    kind.addEventListener("change", arrange);
    window.addEventListener("resize", () => { widths(); draw(); });
    window.addEventListener("beforeprint", () => draw(Math.min(state.rows.length, 100)));
    window.addEventListener("afterprint", () => draw());

    panel.append(
      el("p", { class: "soft" }, data.has_labels
        ? `${classes ? "Errors come first, then the" : "The"} rows with the largest loss${classes ? "" : " come first"}.`
        : "The test rows came without labels: there are no errors and losses here, and the rows behind a prediction are those behind the predicted value."),
      el("div", { class: "bar" }, el("label", { for: "filter" }, "Filter"), search, el("label", { for: "kind" }, "Show"), kind, tally),
      el("div", { class: "split" }, grid, detail));
    widths();
    arrange();
    choose(state.rows[0], true);
  }

  // What an output of the model is called, and its entry for a class.
  const OUTPUT = { predict_proba: "probability", decision_function: "decision value", prediction: "prediction" }[data.output];

  function outputs(packed, offset) {
    const width = packed.shape.length === 1 || (packed.shape.length === 2 && packed !== shown.before) ? 1 : packed.shape[packed.shape.length - 1];
    if (width > 1) return Array.from(packed.values.subarray(offset * width, (offset + 1) * width));
    return [packed.values[offset]];
  }

  // Outputs of two classes are those of the second: the entry is told by its class.
  function described(values) {
    if (!classes) return [[null, values[0]]];
    if (values.length === 1 && data.output === "predict_proba") return [[classes[0], 1 - values[0]], [classes[1], values[0]]];
    if (values.length === 1) return [[classes[1], values[0]]];
    return values.map((value, k) => [classes[k], value]);
  }

  function details(i) {
    const place = placeOfTest.get(i), found = [el("h2", {}, "Test row ", named(testName(i)))];
    const words = [];
    if (table.given) words.push(classes ? "Its label is " : "Its response is ", named(label(table.given, i)), ", ");
    words.push(words.length ? "predicted " : "Predicted ", named(label(table.predicted, i)));
    if (table.loss) words.push(`, loss ${number(table.loss.values[i])}`);
    found.push(el("p", {}, ...words, "."));
    if (place === undefined) {
      found.push(el("p", {}, `Details are kept for ${count(shown.tests.values.length, "test row")}, not for this one. Pass fewer test rows to see it.`));
      return found;
    }
    const image = picture(test.images, place, `Image of test row ${testName(i)}`);
    if (image) found.push(image);
    const text = snippet(test.texts, place);
    if (text) found.push(text);
    const before = outputs(shown.before, place);
    if (classes && data.output === "predict_proba") {
      found.push(el("h3", {}, "Probabilities"), el("div", {}, ...described(before).map(([name, p]) =>
        el("div", {}, named(name), ` ${number(p)}`, bar(p, name === label(table.predicted, i) ? "blue" : "orange")))));
    }
    const up = data.asked === "prediction";
    const titles = up
      ? ["Rows that raise the prediction", "Rows that lower it"]
      : data.has_labels ? ["Helpful rows: without them the loss rises", "Harmful rows: without them the loss falls"]
        : ["Rows for the predicted class", "Rows against it"];
    found.push(el("div", { class: "sides" },
      witnesses(titles[0], "helpful", place, before), witnesses(titles[1], "harmful", place, before)));
    if (shown.features_missing) found.push(el("p", { class: "soft" }, "Features are not compared: ", named(shown.features_missing)));
    return found;
  }

  function bar(share, colour) {
    const fill = el("span");
    fill.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
    return el("span", { class: `track ${colour || ""}`, "aria-hidden": true }, fill);
  }

  function witnesses(title, side, place, before) {
    const k = shown[side].shape[1], values = shown[`${side}_values`].values;
    const most = Math.max(...[...shown.helpful_values.values.subarray(place * k, (place + 1) * k), ...shown.harmful_values.values.subarray(place * k, (place + 1) * k)].map(Math.abs), 1e-300);
    const box = el("div", { class: side }, el("h3", {}, title));
    for (let j = 0; j < k; j++) {
      const at = place * k + j, row = shown[side].values[at], pair = place * 2 * k + (side === "helpful" ? j : k + j);
      const sure = data.asked === "prediction" ? "prediction" : "loss";
      box.append(el("div", { class: "witness" },
        el("div", { class: "top" }, picture(train.images, row, `Image of training row ${train.names[row]}`),
          el("div", { class: "what" }, el("strong", {}, named(train.names[row])), classes ? " labelled " : " with response ", named(trainLabel(row)),
            el("div", { class: side === "helpful" ? "for" : "against" }, `${sure} ${number(values[at], true)} without it`),
            bar(Math.abs(values[at]) / most))),
        snippet(train.texts, row), changed(before, pair, row), features(pair)));
    }
    return box;
  }

  // The prediction if the row were gone, or had its other label.
  function changed(before, pair, row) {
    const was = described(before), gone = described(outputs(shown.without, pair));
    const other = shown.relabelled ? described(outputs(shown.relabelled, pair)) : null;
    // Of two classes the predicted one, of more those that change most.
    let order = was.map((_, c) => c).sort((a, b) => Math.abs(gone[b][1] - was[b][1]) - Math.abs(gone[a][1] - was[a][1])).slice(0, 3).sort((a, b) => a - b);
    if (was.length === 2) order = [was[1][1] > was[0][1] ? 1 : 0];
    const place = Array.from(shown.behind ? shown.behind.values : []).indexOf(row);
    return el("div", { class: "changed" }, ...order.map((c) => el("div", {},
      el("span", { class: "soft" }, classes ? `${OUTPUT} of ` : "prediction ", was[c][0] === null ? null : named(was[c][0])), " ",
      el("span", { class: "now" }, number(was[c][1])), " → ", el("strong", { class: "gone" }, number(gone[c][1])), " if gone",
      other ? el("span", {}, ", → ", el("strong", { class: "relabelled" }, number(other[c][1])), " if labelled ", named(label(shown.other_labels, place))) : null)));
  }

  function features(pair) {
    if (!shown.feature) return null;
    const k = shown.feature.shape[2], rows = [];
    for (let j = 0; j < k; j++) {
      const at = pair * k + j;
      rows.push([named(shown.feature_names[shown.feature.values[at]]), number(shown.test_value.values[at]), number(shown.train_value.values[at]), number(shown.effect.values[at], true)]);
    }
    return el("details", {}, el("summary", {}, "Features that differ most"),
      makeTable("As the last step of the model sees them; gradient: difference times gradient",
        [{ text: "feature" }, { text: "test row", number: true }, { text: "this row", number: true }, { text: "gradient", number: true }], rows));
  }

  // -- labels ---------------------------------------------------------------------------------------

  const FIELDS = ["row_id", "given_label", "decision", "label", "note", "time", "library_version"];
  const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;

  // Spreadsheets take cells that begin with these characters for formulas.
  function cell(value) {
    let text = String(value).replace(/\u0000/g, "\ufffd");
    if (/^[=+\-@\t\r]/.test(text) && !NUMBER.test(text)) text = "'" + text;
    return '"' + text.replace(/"/g, '""') + '"';
  }

  function storage(found) {
    const key = `skinfluence decisions ${found.fingerprint}`;
    let works = true;
    const read = () => {
      try {
        return JSON.parse(window.localStorage.getItem(key) || "{}");
      } catch {
        works = false;
        return {};
      }
    };
    const kept = read();
    return {
      kept: kept && typeof kept === "object" ? kept : {},
      works: () => works,
      write: (decisions) => {
        try {
          window.localStorage.setItem(key, JSON.stringify(decisions));
        } catch {
          works = false;
        }
      },
    };
  }

  function labelsTab(panel) {
    const found = data.labels;
    if (!found) {
      panel.append(el("p", {}, "There is no audit of the labels in this report: pass audit=LabelAudit(estimator).fit(X_train, y_train)."));
      return;
    }
    const store = storage(found), undo = [], state = { at: 0 };
    const decisions = new Map(Object.entries(store.kept).filter(([id, each]) => found.ids.includes(id) && each && typeof each === "object"));
    const options = found.rows.map((row, s) => el("div", { class: "option", role: "option", id: `suspect-${s}`, onclick: () => choose(s) }));
    const list = el("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "Suspect labels, the most suspect first", id: "suspects" }, ...options);
    const progress = el("progress", { max: found.rows.length, "aria-label": "Rows decided" }), tally = el("span", { id: "decided" });
    const detail = el("div", { class: "card", id: "suspect", role: "region", "aria-label": "The chosen suspect label" });
    const undoButton = el("button", { type: "button", id: "undo", onclick: takeBack }, "Undo ", el("kbd", {}, "z"));

    function describe(s) {
      const made = decisions.get(found.ids[s]);
      const probability = found.error_probability && found.error_probability[s];
      options[s].setAttribute("aria-selected", s === state.at);
      options[s].replaceChildren(
        el("span", { class: "grow" }, el("strong", {}, named(train.names[found.rows[s]])), ": ",
          named(found.classes[found.given[s]]), " → ", named(found.classes[found.suggested[s]])),
        el("span", {}, probability === null || probability === undefined ? "" : number(probability)),
        made ? el("span", { class: `badge ${made.decision === "accept" ? "for" : "against"}` }, made.decision) : el("span", { class: "soft" }, "open"));
    }

    function choose(s) {
      const before = state.at;
      state.at = Math.max(0, Math.min(found.rows.length - 1, s));
      describe(before);
      describe(state.at);
      list.setAttribute("aria-activedescendant", `suspect-${state.at}`);
      const option = options[state.at];
      if (option.offsetTop < list.scrollTop) list.scrollTop = option.offsetTop;
      else if (option.offsetTop + option.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = option.offsetTop + option.offsetHeight - list.clientHeight;
      show();
    }

    function record(decision, label, note) {
      return { decision, label, note, time: new Date().toISOString() };
    }

    function keep(id, entry) {
      undo.push([id, decisions.get(id)]);
      if (entry) decisions.set(id, entry);
      else decisions.delete(id);
      refresh();
    }

    function decide(decision) {
      const s = state.at, id = found.ids[s], old = decisions.get(id);
      const chosen = detail.querySelector("#new-label"), note = detail.querySelector("#note");
      const given = found.classes[found.given[s]];
      const label = decision === "relabel" ? found.classes[Number(chosen.value)] : decision === "drop" ? "" : given;
      keep(id, record(decision, label, note ? note.value : old ? old.note : ""));
      describe(s);
      say(`${decision}: row ${train.names[found.rows[s]]}`);
      if (s + 1 < found.rows.length) choose(s + 1);
      else show();
    }

    function takeBack() {
      const last = undo.pop();
      if (!last) return;
      const [id, entry] = last;
      if (entry) decisions.set(id, entry);
      else decisions.delete(id);
      refresh();
      choose(found.ids.indexOf(id));
      say("Undone.");
    }

    function refresh() {
      store.write(Object.fromEntries(decisions));
      progress.value = decisions.size;
      tally.textContent = `${decisions.size} of ${found.rows.length} decided`;
      undoButton.disabled = !undo.length;
      where.textContent = store.works()
        ? "Decisions are kept by this browser, for these training data, until its storage is cleared."
        : "This browser keeps nothing for this page: decisions are kept until it is reloaded. Export them.";
    }

    function side(kind, title, s) {
      const evidence = found.evidence[s][kind], box = el("div", { class: kind === "given" ? "helpful" : "harmful" },
        el("h3", {}, title), el("p", { class: "soft" }, `Weight of all rows together: ${number(evidence.total)}`));
      const most = Math.max(...evidence.weights, 1e-300);
      evidence.rows.forEach((row, j) => box.append(el("div", { class: "witness" },
        el("div", { class: "top" }, picture(train.images, row, `Image of training row ${train.names[row]}`),
          el("div", { class: "what" }, el("strong", {}, named(train.names[row])), " labelled ", named(trainLabel(row)), `, weight ${number(evidence.weights[j])}`, bar(evidence.weights[j] / most))),
        snippet(train.texts, row))));
      if (!evidence.rows.length) box.append(el("p", {}, "No row."));
      return box;
    }

    function show() {
      const s = state.at, row = found.rows[s], made = decisions.get(found.ids[s]);
      const given = found.classes[found.given[s]], suggested = found.classes[found.suggested[s]];
      const at = made && made.decision === "relabel" ? found.classes.indexOf(made.label) : found.suggested[s];
      const select = el("select", { id: "new-label", "aria-label": "New label" },
        ...found.classes.map((name, k) => (k === found.given[s] ? null : el("option", { value: k, selected: k === at }, visible(name)))));
      const note = el("textarea", { id: "note", "aria-label": "Note", placeholder: "note" });
      note.value = made ? made.note : "";
      note.addEventListener("change", () => {
        const old = decisions.get(found.ids[s]);
        if (old) keep(found.ids[s], { ...old, note: note.value });
      });
      const buttons = [["accept", "Accept", "a"], ["relabel", "Relabel", "r"], ["drop", "Drop", "d"], ["unsure", "Unsure", "u"]].map(([decision, text, key]) =>
        el("button", { type: "button", "data-decision": decision, "aria-pressed": Boolean(made && made.decision === decision), onclick: () => decide(decision) }, text, " ", el("kbd", {}, key)));
      const p = found.error_probability && found.error_probability[s];
      const effect = found.effect[s];
      detail.replaceChildren(
        el("h2", {}, "Training row ", named(train.names[row])),
        ...[picture(train.images, row, `Image of training row ${train.names[row]}`), snippet(train.texts, row)].filter(Boolean),
        el("dl", {},
          el("dt", {}, "Given label"), el("dd", {}, named(given)),
          el("dt", {}, "Suggested label"), el("dd", {}, named(suggested)),
          el("dt", {}, "Probability of an error"), el("dd", {}, p === null || p === undefined ? "unknown" : number(p)),
          el("dt", {}, "Its label without it"), el("dd", {}, `probability ${number(found.loo_probability[s])}`),
          el("dt", {}, "Effect of fixing"), el("dd", {}, `mean loss ${number(effect, true)}`, effect === null ? "" : effect < 0 ? " (better)" : effect > 0 ? " (worse)" : "")),
        el("div", { class: "bar actions" }, ...buttons, el("label", {}, "to ", select)),
        note,
        el("div", { class: "sides" }, side("given", el("span", {}, "For the given label ", named(given)), s), side("suggested", el("span", {}, "For the suggested label ", named(suggested)), s)));
    }

    function records() {
      return found.ids.map((id, s) => [id, s]).filter(([id]) => decisions.has(id)).map(([id, s]) => ({
        row_id: id, given_label: found.classes[found.given[s]], ...decisions.get(id), library_version: data.version }));
    }

    function save(name, type, text) {
      const address = URL.createObjectURL(new Blob([text], { type }));
      el("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
      say(`${name} written`);
    }

    const csv = () => save("decisions.csv", "text/csv;charset=utf-8",
      [FIELDS.map(cell).join(","), ...records().map((each) => FIELDS.map((field) => cell(each[field])).join(","))].join("\r\n") + "\r\n");
    const json = () => save("decisions.json", "application/json", JSON.stringify({ fingerprint: found.fingerprint, decisions: records() }, null, 1));

    const where = el("p", { class: "soft", id: "where" });
    list.addEventListener("keydown", (event) => {
      const to = { ArrowDown: state.at + 1, ArrowUp: state.at - 1, Home: 0, End: found.rows.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(to);
    });
    document.addEventListener("keydown", (event) => {
      if (panel.hidden || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
      const decision = { a: "accept", r: "relabel", d: "drop", u: "unsure" }[event.key];
      if (decision) decide(decision);
      else if (event.key === "z") takeBack();
      else if (event.key === "j") choose(state.at + 1);
      else if (event.key === "k") choose(state.at - 1);
    });
    const many = found.n_issues === null ? "" : found.n_issues === 0 ? "No label is more likely wrong than right; " : `${count(found.n_issues, "label")} ${found.n_issues === 1 ? "is" : "are"} more likely wrong than right; `;
    panel.append(
      el("p", {}, `${many}${count(found.rows.length, "row")} shown of ${data.n_train.toLocaleString("en")}, the most suspect first.` +
        (found.expected_errors === null ? "" : ` Expected number of wrong labels: ${number(found.expected_errors)}.`)),
      el("div", { class: "bar" }, progress, tally, undoButton,
        el("button", { type: "button", id: "csv", onclick: csv }, "Export CSV"), el("button", { type: "button", id: "json", onclick: json }, "Export JSON"),
        el("span", { class: "soft" }, "Keys: ", el("kbd", {}, "j"), " next, ", el("kbd", {}, "k"), " previous")),
      where, el("div", { class: "split even" }, list, detail));
    found.rows.forEach((_, s) => describe(s));
    refresh();
    choose(0);
  }

  // -- what if --------------------------------------------------------------------------------------

  function whatIf(panel) {
    groupsOf(panel);
    rowsOf(panel);
  }

  function groupsOf(panel) {
    const found = data.what_if;
    panel.append(el("h2", {}, "Without a whole group"));
    if (!found.groups.length) {
      panel.append(el("p", {}, "No groups were passed: groups= names sets of training rows."));
      return;
    }
    const heads = [{ text: "group" }, { text: "rows", number: true }, { text: `${weighted}mean test loss`, number: true }, { text: `${weighted}${classes ? "accuracy" : "R2"} after`, number: true }];
    if (classes) heads.push({ text: "predictions that flip" });
    heads.push({ text: "method" });
    const rows = found.groups.map((group) => {
      const cells = [named(group.name), String(group.n_rows), number(group.loss, true), number(group.score)];
      if (classes) {
        cells.push(group.n_flips ? el("details", {}, el("summary", {}, String(group.n_flips)),
          el("ul", {}, ...group.flips.map(([name, from, to]) => el("li", {}, named(name), ": ", named(from), " → ", named(to)))),
          group.n_flips > group.flips.length ? el("p", {}, `The first ${group.flips.length} of ${group.n_flips}.`) : null) : number(group.n_flips));
      }
      cells.push(METHODS[group.method] || group.method);
      return cells;
    });
    panel.append(makeTable(`Joint steps at all ${count(data.n_test, "test row")}: the change without the group` +
      (found.n_groups > found.groups.length ? `; the ${found.groups.length} largest of ${found.n_groups} groups` : ""), heads, rows));
  }

  function rowsOf(panel) {
    const rows = data.what_if.rows, pool = unpack(rows.pool).values;
    const tables = Object.fromEntries(["decision", "decision_change", "loss", "loss_change", "mean_loss_change"].map((key) => [key, unpack(rows[key])]));
    const s = shown.tests.values.length, r = pool.length, width = r && s ? tables.decision_change.values.length / (s * r) : 1;
    panel.append(el("h2", {}, "Without rows of your choice"),
      el("p", {}, `An estimate: the sum of one Newton step for each row, at the ${count(s, "test row")} with details.`), trusted(rows.error));
    if (!r) {
      panel.append(el("p", {}, "No training row is named in the details."));
      return;
    }
    const search = el("input", { type: "search", id: "pick-filter", placeholder: "part of a name" });
    const boxes = Array.from(pool, (row, j) => el("label", {}, el("input", { type: "checkbox", value: j, onchange: update }),
      el("span", { class: "grow" }, named(train.names[row]), el("span", { class: "soft" }, classes ? " labelled " : " with response ", named(trainLabel(row))))));
    const list = el("div", { class: "list", id: "picks", role: "group", "aria-label": "Training rows to leave out", tabindex: 0 }, ...boxes);
    const result = el("div", { class: "card", id: "picked", role: "region", "aria-label": "The model without the chosen rows", "aria-live": "polite" });
    search.addEventListener("input", () => boxes.forEach((box, j) => { box.hidden = !train.names[pool[j]].toLowerCase().includes(search.value.trim().toLowerCase()); }));

    const sum = (values, at, picks, outputs, c) => picks.reduce((total, j) => total + values[(at * r + j) * outputs + c], 0);

    function predictedOf(values) {
      if (values.length === 1) return values[0] > 0 ? 1 : 0;
      return values.indexOf(Math.max(...values));
    }

    function update() {
      const picks = boxes.map((box, j) => (box.firstChild.checked ? j : -1)).filter((j) => j >= 0);
      const lines = [el("h3", {}, picks.length ? `Without ${count(picks.length, "training row")} (estimate)` : "Choose rows")];
      if (picks.length) {
        const flips = [];
        let before = 0, after = 0, right = 0, rightAfter = 0;
        for (let t = 0; t < s; t++) {
          const was = Array.from({ length: width }, (_, c) => tables.decision.values[t * width + c]);
          const is = was.map((value, c) => value + sum(tables.decision_change.values, t, picks, width, c));
          if (tables.loss) {
            before += tables.loss.values[t] / s;
            after += (tables.loss.values[t] + sum(tables.loss_change.values, t, picks, 1, 0)) / s;
          }
          if (!classes) flips.push([t, was[0], is[0]]);
          else {
            const one = predictedOf(was), other = predictedOf(is), given = table.given ? table.given.values[shown.tests.values[t]] : null;
            right += one === given;
            rightAfter += other === given;
            if (one !== other) flips.push([t, classes[one], classes[other]]);
          }
        }
        lines.push(...lost(picks, before, after, right, rightAfter), ...turned(flips));
      }
      result.replaceChildren(...lines);
    }

    function lost(picks, before, after, right, rightAfter) {
      if (!tables.loss) return [el("p", {}, "The test rows came without labels: there is no loss and no score.")];
      const all = picks.reduce((total, j) => total + tables.mean_loss_change.values[j], 0);
      const lines = [
        el("p", { class: "result" }, "Mean loss of the test rows with details: ", el("strong", { id: "loss-before" }, number(before)), " → ", el("strong", { id: "loss-after" }, number(after))),
        el("p", {}, `${weighted ? "Weighted mean" : "Mean"} loss of all ${count(data.n_test, "test row")}: `, el("strong", { id: "all-change" }, number(all, true)))];
      if (classes) lines.push(el("p", {}, "Accuracy at the test rows with details: ", el("strong", { id: "accuracy" }, `${right} → ${rightAfter}`), ` right of ${s}`));
      return lines;
    }

    function turned(flips) {
      if (classes) {
        const list = flips.slice(0, 20).map(([t, from, to]) => el("li", {}, named(testName(shown.tests.values[t])), ": ", named(from), " → ", named(to)));
        return [el("p", {}, el("strong", { id: "flips" }, String(flips.length)), flips.length === 1 ? " prediction flips" : " predictions flip", flips.length > 20 ? "; the first 20:" : ""), el("ul", {}, ...list)];
      }
      const most = flips.sort((a, b) => Math.abs(b[2] - b[1]) - Math.abs(a[2] - a[1])).slice(0, 10);
      return [makeTable("Predictions that change most", [{ text: "test row" }, { text: "now", number: true }, { text: "without", number: true }],
        most.map(([t, was, is]) => [named(testName(shown.tests.values[t])), number(was), number(is)]))];
    }

    panel.append(el("div", { class: "bar" }, el("label", { for: "pick-filter" }, "Filter"), search,
      el("button", { type: "button", onclick: () => { boxes.forEach((box) => { box.firstChild.checked = false; }); update(); } }, "Choose none"),
      el("span", { class: "soft" }, `the ${count(r, "training row")} named most often in the details, of ${data.n_train.toLocaleString("en")}`)),
    el("div", { class: "split even" }, list, result));
    update();
  }

  function trusted(error) {
    if (!error) return el("p", { class: "soft" }, "There are too few rows to measure the error of such a sum.");
    const parts = [`How far to trust it: against refits without ${error.n_picks} random picks of 1 to ${error.largest} of these rows`];
    if (error.decision) parts.push(`, the ${classes ? "decision values" : "predictions"} have slope ${number(error.decision.slope)} and relative error ${number(100 * error.decision.relative_rmse)} %`);
    if (error.loss) parts.push(`, the mean losses slope ${number(error.loss.slope)} and relative error ${number(100 * error.loss.relative_rmse)} %`);
    if (error.n_flips !== undefined) parts.push(`; of ${count(error.n_flips, "flipped prediction")} ${error.n_foreseen} ${error.n_foreseen === 1 ? "was" : "were"} foreseen, and ${error.n_false} foreseen that did not flip`);
    return el("p", { class: "soft", id: "trust" }, parts.join("") + ".");
  }

  // -- diagnostics ----------------------------------------------------------------------------------

  function diagnostics(panel) {
    const found = data.diagnostics, cards = el("div", { class: "cards" });
    const own = found.agreement;
    cards.append(figure("Estimated against exact removal", own, {
      x: "change of the row's own loss, refitted", y: "one Newton step", diagonal: true,
      note: own.slope === undefined ? "" : `Slope ${number(own.slope)}, r ${number(own.r)}, relative error ${number(100 * own.relative_rmse)} %.` }));
    cards.append(figure("Leverage against residual", found.leverage, { x: "leverage", y: found.leverage.what }));
    if (found.cooks) cards.append(figure("Cook's distances", found.cooks, { x: "training row", y: "Cook's distance", line: found.cooks.threshold, note: `The line is 4 / n = ${number(found.cooks.threshold)}.` }));
    panel.append(cards);
    if (!found.cooks) panel.append(el("p", { class: "soft" }, classes ? "Cook's distances are shown for regressions." : "Cook's distances are not defined for this model."));
  }

  function ticks(low, high) {
    const span = high - low || 1, step = 10 ** Math.floor(Math.log10(span / 4));
    const size = [1, 2, 5, 10].map((m) => m * step).find((w) => span / w <= 5), found = [];
    for (let v = Math.ceil(low / size) * size; v <= high + 1e-9 * span; v += size) found.push(Math.abs(v) < 1e-9 * span ? 0 : v);
    return found;
  }

  function svg(tag, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function figure(title, fig, options) {
    const card = el("div", { class: "card" }, el("h2", {}, title));
    if (fig.missing !== undefined) {
      card.append(el("p", {}, "Not available for this model: ", named(fig.missing)));
      return card;
    }
    const xs = unpack(fig.x).values, ys = unpack(fig.y).values;
    if (!xs.length) {
      card.append(el("p", {}, "No row has these numbers."));
      return card;
    }
    const W = Math.max(260, Math.min(480, window.innerWidth - 60)), H = Math.round((2 * W) / 3), left = 62, right = 12, top = 12, bottom = 44;
    let [x0, x1] = [Math.min(...xs), Math.max(...xs)], [y0, y1] = [Math.min(...ys, options.line ?? Infinity), Math.max(...ys, options.line ?? -Infinity)];
    if (options.diagonal) [x0, y0, x1, y1] = [Math.min(x0, y0), Math.min(x0, y0), Math.max(x1, y1), Math.max(x1, y1)];
    const wide = (a, b) => [a - 0.04 * (b - a || 1), b + 0.04 * (b - a || 1)];
    [x0, x1] = wide(x0, x1);
    [y0, y1] = wide(y0, y1);
    const px = (x) => left + ((x - x0) / (x1 - x0)) * (W - left - right), py = (y) => H - bottom - ((y - y0) / (y1 - y0)) * (H - top - bottom);
    const drawing = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${options.y} against ${options.x}, ${xs.length} rows` });
    for (const v of ticks(x0, x1)) drawing.append(svg("line", { class: "axis", x1: px(v), x2: px(v), y1: top, y2: H - bottom }), svg("text", { x: px(v), y: H - bottom + 16, "text-anchor": "middle" }, number(v)));
    for (const v of ticks(y0, y1)) drawing.append(svg("line", { class: "axis", x1: left, x2: W - right, y1: py(v), y2: py(v) }), svg("text", { x: left - 6, y: py(v) + 4, "text-anchor": "end" }, number(v)));
    drawing.append(svg("text", { x: (left + W - right) / 2, y: H - 8, "text-anchor": "middle" }, options.x), svg("text", { x: 0, y: 0, transform: `translate(13 ${(top + H - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, options.y));
    if (options.diagonal) drawing.append(svg("path", { class: "guide", d: `M${px(Math.max(x0, y0))} ${py(Math.max(x0, y0))}L${px(Math.min(x1, y1))} ${py(Math.min(x1, y1))}` }));
    if (options.line !== undefined) drawing.append(svg("path", { class: "guide", d: `M${left} ${py(options.line)}H${W - right}` }));
    drawing.append(svg("path", { class: "points", d: Array.from(xs, (x, i) => `M${px(x).toFixed(1)} ${py(ys[i]).toFixed(1)}h.01`).join("") }));
    const near = svg("circle", { class: "near", r: 7, cx: -20, cy: -20 }), hover = el("p", { class: "hover soft" });
    drawing.append(near);
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect(), mx = ((event.clientX - box.left) / box.width) * W, my = ((event.clientY - box.top) / box.height) * H;
      let best = 0, least = Infinity;
      for (let i = 0; i < xs.length; i++) {
        const away = (px(xs[i]) - mx) ** 2 + (py(ys[i]) - my) ** 2;
        if (away < least) [best, least] = [i, away];
      }
      near.setAttribute("cx", px(xs[best]));
      near.setAttribute("cy", py(ys[best]));
      hover.replaceChildren("Row ", named(fig.names[best]), `: ${number(xs[best])}, ${number(ys[best])}`);
    });
    const order = Array.from(xs, (_, i) => i).sort((a, b) => Math.abs(options.diagonal ? ys[b] - xs[b] : ys[b]) - Math.abs(options.diagonal ? ys[a] - xs[a] : ys[a])).slice(0, 10);
    card.append(drawing, hover, el("p", {}, `${options.note || ""} ${xs.length < fig.n ? `${xs.length.toLocaleString("en")} of ${fig.n.toLocaleString("en")} rows: the outermost and random others.` : ""}`),
      el("details", {}, el("summary", {}, options.diagonal ? "The ten rows that differ most" : "The ten largest"),
        makeTable(title, [{ text: "row" }, { text: options.x, number: true }, { text: options.y, number: true }], order.map((i) => [named(fig.names[i]), number(xs[i]), number(ys[i])]))));
    return card;
  }

  // -- start ----------------------------------------------------------------------------------------

  document.getElementById("subtitle").textContent =
    `${count(data.n_train, "training row")}, ${count(data.n_test, "test row")}, skinfluence ${data.version}`;
  document.getElementById("notes").append(...data.notes.map((note) => el("li", {}, named(note))));
  window.addEventListener("beforeprint", () => tabs.forEach((tab) => build(tab.id.slice(4))));
  open("overview");
})();
