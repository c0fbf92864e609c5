// While a run goes on: poll status.js, which calls genies_status, and offer to reload when the report is new. A page
// without results reloads by itself.
"use strict";
(function () {
  const line = document.getElementById("live");
  const PAUSE = 3000;
  let misses = 0;

  function time(seconds) {
    if (seconds < 90) return `${seconds} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  window.genies_status = function (status) {
    misses = 0;
    const words = [`Running: ${status.done} of ${status.total} jobs done`];
    if (status.failed) words.push(`${status.failed} failed`);
    if (status.seconds_left !== null) words.push(`about ${time(status.seconds_left)} left`);
    line.replaceChildren(words.join(", ") + ".");
    if (status.running.length) line.append(` Now: ${status.running.join("; ")}.`);
    if (status.report <= Number(line.dataset.report)) return;
    if (document.getElementById("waiting")) location.reload();
    else reload("Show new results");
  };

  function reload(title) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => location.reload());
    line.append(" ", button);
  }

  function poll() {
    const script = document.createElement("script");
    script.src = `status.js?${Date.now()}`;
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      misses += 1; // once is a report that is being replaced
      if (misses === 2) {
        line.replaceChildren("The run has ended.");
        reload("Show its results");
      }
    };
    document.head.append(script);
    if (misses < 2) setTimeout(poll, PAUSE);
  }
  poll();
})();
