"use strict";
(function () {
  var PAUSE = 2000, WIDTH = 150, HEIGHT = 40;

  function count(n) { return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ","); }
  function decimal(n) { return n ? n.toFixed(1) : "0"; }
  function bytes(n) {
    var units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"], unit = 0;
    while (n >= 999.5 && unit < 6) { n /= 1000; unit++; }
    return n.toFixed(unit && n < 99.95 ? 1 : 0) + " " + units[unit];
  }
  function rate(n) { return bytes(n) + "/s"; }
  function duration(s) {
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
  }
  function list(words) { return words.join(" "); }
  var forms = { count: count, decimal: decimal, bytes: bytes, rate: rate, duration: duration, list: list, text: String };

  function find(seen, path) {
    return path.split(".").reduce(function (value, name) { return value[name]; }, seen);
  }
  function each(selector, act) { Array.prototype.forEach.call(document.querySelectorAll(selector), act); }
  function put(element, text) { if (element.textContent !== text) element.textContent = text; }

  // What the page was made for; if that has changed, a new page is needed.
  function shape(seen) {
    return seen.listeners.map(function (listener) {
      return listener.name + ":" + listener.servers.map(function (server) { return server.id; }).join(",");
    }).join(";");
  }

  function draw(figure, history) {
    var form = forms[figure.dataset.form], per = figure.dataset.form === "rate" ? history.interval : 1;
    var values = history[figure.dataset.of].map(function (value) { return value / per; });
    var most = Math.max.apply(null, values.concat(0)), from = WIDTH - values.length + 1;
    var line = values.map(function (value, place) {
      return (from + place) + "," + (HEIGHT - 1 - (HEIGHT - 3) * value / (most || 1)).toFixed(1);
    }).join(" ");
    figure.querySelector("polyline").setAttribute("points", line);
    figure.querySelector("polygon").setAttribute("points",
      values.length ? from + "," + HEIGHT + " " + line + " " + WIDTH + "," + HEIGHT : "");
    var now = form(values.length ? values[values.length - 1] : 0);
    put(figure.querySelector(".now"), now);
    put(figure.querySelector(".most"), form(most));
    figure.querySelector("svg").setAttribute("aria-label",
      figure.dataset.title + " in the last five minutes: now " + now + ", at most " + form(most));
  }

  function time(unix) { return new Date(unix * 1000).toISOString().slice(0, 19).replace("T", " "); }

  function tell(events) {
    var box = document.getElementById("events");
    var latest = events.length ? events[events.length - 1].time + events[events.length - 1].text + events.length : "";
    if (box.dataset.latest === latest) return;
    box.dataset.latest = latest;
    box.textContent = "";
    events.slice().reverse().forEach(function (event) {
      var item = document.createElement("li"), when = document.createElement("time"), what = document.createElement("span");
      when.dateTime = time(event.time).replace(" ", "T") + "Z";
      when.textContent = time(event.time);
      what.className = event.severity;
      what.textContent = event.text;
      item.append(when, what);
      box.append(item);
    });
    document.getElementById("quiet").hidden = events.length > 0;
  }

  function show(seen) {
    if (shape(seen) !== document.body.dataset.shape) { location.reload(); return; }
    var health = document.getElementById("health");
    health.className = seen.healthy ? "state up" : "state trouble";
    put(health, seen.healthy ? seen.standing : seen.trouble);
    document.title = "pen: " + (seen.healthy ? seen.standing : "trouble");
    each("[data-at]", function (element) { put(element, forms[element.dataset.form](find(seen, element.dataset.at))); });
    each("[data-state]", function (element) {
      var server = find(seen, element.dataset.state), left = Math.ceil(server.blacklisted);
      element.className = "state " + server.state;
      put(element, server.state + (server.state === "blacklisted" ? " " + duration(left) : ""));
    });
    each("[data-failures]", function (element) {
      var failures = find(seen, element.dataset.failures);
      put(element, count(failures.refused + failures.timeout + failures.other));
    });
    each("figure", function (figure) { draw(figure, seen.history); });
    tell(seen.events);
    document.body.dataset.live = seen.time;
  }

  function lost() {
    var health = document.getElementById("health");
    health.className = "state trouble";
    put(health, "no answer from pen");
    document.title = "pen: no answer";
  }

  function look() {
    if (document.hidden) { setTimeout(look, PAUSE); return; }
    fetch("status.json", { cache: "no-store" })
      .then(function (answer) { if (!answer.ok) throw new Error(answer.statusText); return answer.json(); })
      .then(show, lost)
      .then(function () { setTimeout(look, PAUSE); });
  }
  look();
})();
