(function () {
  "use strict";
  const all = (what, root) => Array.from((root || document).querySelectorAll(what));
  const tip = document.querySelector(".tip");

  function show(text, event) {
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 6);
    const below = event.clientY + 16 + tip.offsetHeight < innerHeight;
    tip.style.left = Math.max(6, left) + "px";
    tip.style.top = event.clientY + (below ? 16 : -tip.offsetHeight - 10) + "px";
  }

  // Tables: a click on a head sorts the lines of each group; what was not measured comes last.
  function key(line, column) {
    const cell = line.cells[column];
    if (!cell) return null;
    if (cell.dataset.order !== undefined) return parseFloat(cell.dataset.order);
    const text = cell.textContent.trim();
    return text === "" || text === "–" || text === "not measured" ? null : text;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }
  function sort(head, column) {
    const down = head.getAttribute("aria-sort") === "descending";
    const way = down ? "ascending" : "descending", sign = down ? 1 : -1;
    all("th", head.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way);
    all("tbody", head.closest("table")).forEach((body) => {
      const lines = all("tr:not(.group)", body).map((line) => [key(line, column), line]);
      lines.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
      lines.forEach(([, line]) => body.append(line));
    });
  }
  function sortable(head) {
    const name = head.querySelector(".name");
    if (!name || head.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    name.replaceWith(button);
    button.append(name);
    button.addEventListener("click", () => sort(head, head.cellIndex));
  }

  // What is wider than the screen says so, and how many columns are not seen.
  function hint(box) {
    const view = box.querySelector(".scroll");
    const wide = view.scrollWidth > view.clientWidth + 1;
    box.classList.toggle("more", wide);
    box.classList.toggle("rest", wide && view.scrollLeft + view.clientWidth < view.scrollWidth - 1);
    if (!wide) return;
    const edge = view.getBoundingClientRect().right;
    const heads = all("thead th", view);
    const hidden = heads.filter((head) => head.getBoundingClientRect().right > edge + 1).length;
    const text = heads.length === 0 ? "This is wider than the screen: scroll it sideways →"
      : hidden ? hidden + " of " + heads.length + " columns are further right: scroll sideways →"
      : "← These were the last columns: scroll back for the others";
    box.querySelector(".hint").textContent = text;
  }

  // Curves: the figures of all runs at the step under the pointer, or by the arrow keys.
  const numbers = (text) => text.split(" ").map(Number);
  function short(value) {
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(3) : String(+value.toPrecision(4));
  }
  function nearest(steps, wanted) {
    let low = 0, high = steps.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= wanted) low = middle; else high = middle;
    }
    return wanted - steps[low] <= steps[high] - wanted ? low : high;
  }
  function curve(svg) {
    const [left, right, first, last] = numbers(svg.dataset.axis);
    const series = all("g[data-steps]", svg).map((group) => ({
      group: group, steps: numbers(group.dataset.steps), values: numbers(group.dataset.values),
    }));
    const mark = svg.querySelector(".mark");
    function at(step, event) {
      const shown = series.filter((one) => one.group.style.display !== "none");
      if (!shown.length) return;
      const steps = shown[0].steps, here = steps[nearest(steps, step)];
      const x = left + (here - first) / ((last - first) || 1) * (right - left);
      mark.setAttribute("x1", x); mark.setAttribute("x2", x);
      mark.style.visibility = "visible";
      svg.dataset.step = here;
      const lines = shown.map((one) => {
        const i = nearest(one.steps, here), off = one.steps[i] === here ? "" : " (step " + one.steps[i] + ")";
        return (one.group.dataset.run ? one.group.dataset.run + ": " : "") + short(one.values[i]) + off;
      });
      show(["step " + here].concat(lines).join("\n"), event);
    }
    function leave() { mark.style.visibility = "hidden"; tip.hidden = true; }
    function pointed(event) {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      at(first + (x - left) / (right - left) * (last - first), event);
    }
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way || !series.length) return;
      event.preventDefault();
      const steps = series[0].steps;
      const i = svg.dataset.step === undefined ? steps.length - 1 : nearest(steps, +svg.dataset.step) + way;
      const box = svg.getBoundingClientRect();
      at(steps[Math.max(0, Math.min(steps.length - 1, i))], { clientX: box.left + box.width / 2, clientY: box.bottom });
    });
  }

  // Which runs and figures are shown; kept over a reload of a live page.
  const hidden = new Set();
  let wanted = "";
  function choose() {
    all("[data-run]").forEach((one) => {
      if (one.tagName === "INPUT") one.checked = !hidden.has(one.dataset.run);
      else one.style.display = hidden.has(one.dataset.run) ? "none" : "";
    });
    all("figure.plot").forEach((plot) => {
      const svg = plot.querySelector("svg[data-figure]");
      plot.hidden = Boolean(svg && wanted && !svg.dataset.figure.includes(wanted));
    });
    all("section").forEach((part) => {
      const plots = all("svg[data-figure]", part);
      if (plots.length) part.hidden = plots.every((svg) => svg.closest("figure").hidden);
    });
    all("input.filter").forEach((input) => { if (input.value !== wanted) input.value = wanted; });
  }

  function begin() {
    all("thead th").forEach(sortable);
    all(".scroll-box").forEach((box) => {
      hint(box);
      box.querySelector(".scroll").addEventListener("scroll", () => hint(box), { passive: true });
    });
    all("svg.curve").forEach(curve);
    // The browser's own tooltips come late, and never on a touch screen.
    all("svg title").forEach((title) => {
      title.parentNode.dataset.tip = title.textContent;
      title.remove();
    });
    all("input[data-run]").forEach((input) => input.addEventListener("change", () => {
      if (input.checked) hidden.delete(input.dataset.run); else hidden.add(input.dataset.run);
      choose();
    }));
    all("input.filter").forEach((input) => input.addEventListener("input", () => {
      wanted = input.value.trim().toLowerCase();
      choose();
    }));
    choose();
  }
  begin();
  const tipped = (event) => event.target.closest && event.target.closest("[data-tip]");
  ["pointermove", "pointerdown"].forEach((kind) => document.addEventListener(kind, (event) => {
    if (event.target.closest && event.target.closest("svg.curve")) return;
    const shape = tipped(event);
    if (shape) show(shape.dataset.tip, event);
    else tip.hidden = true;
  }));
  addEventListener("resize", () => all(".scroll-box").forEach(hint));
  all("details").forEach((one) => one.addEventListener("toggle", () => all(".scroll-box", one).forEach(hint)));
  addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));

  // A live page asks its own address whether there is something new.
  const every = Number(document.body.dataset.every);
  if (every) {
    let seen = null;
    setInterval(async () => {
      try {
        const version = await (await fetch("version", { cache: "no-store" })).text();
        if (seen !== null && version !== seen) {
          const text = await (await fetch("./", { cache: "no-store" })).text();
          const fresh = new DOMParser().parseFromString(text, "text/html");
          document.querySelector("main").replaceWith(fresh.querySelector("main"));
          begin();
        }
        seen = version;
      } catch (error) { /* the command has ended: the page stays as it is */ }
    }, every * 1000);
  }
})();
