// Draws the Mermaid diagrams in the colours of the page, and again when the reader changes them.
(() => {
  mermaid.initialize({ startOnLoad: false });
  const dark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };
  const draw = async () => {
    const own = { useMaxWidth: false };  // wide drawings scroll: shrunk, nobody could read them
    const theme = dark() ? "dark" : "neutral";
    mermaid.initialize({ startOnLoad: false, theme, state: own, flowchart: own });
    for (const diagram of document.querySelectorAll("pre.mermaid")) {
      diagram.dataset.source ??= diagram.textContent;
      diagram.removeAttribute("data-processed");
      diagram.textContent = diagram.dataset.source;
    }
    await mermaid.run();
  };
  addEventListener("load", async () => {
    if (!document.querySelector("pre.mermaid")) return;
    await draw();
    new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-theme"] });
  });
})();
