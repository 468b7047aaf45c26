"""The report's style sheet: no font, no image, no script from elsewhere; follows the reader's light or dark theme."""

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1c2024; --dim: #60656c; --line: #d9dce0; --card: #f6f7f8;
  --s1: #0b6bcb; --s2: #c2410c; --s3: #15803d; --warn: #9a6700; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --bg: #16181b; --fg: #e6e8ea; --dim: #9ba1a8; --line: #34383d;
  --card: #1f2226; --s1: #6cb2ff; --s2: #ff9a6b; --s3: #6fd08c; --warn: #e3b341; --bad: #ff8a80; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 24px 20px 60px; background: var(--bg); color: var(--fg);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px }
h2 { font-size: 18px; margin: 36px 0 10px } h3 { font-size: 15px; margin: 0 0 6px }
p { margin: 6px 0 } .dim { color: var(--dim) } code { font-size: 13px }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 }
.tile { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 10px 14px; min-width: 128px }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums } .tile span { color: var(--dim);
  font-size: 13px }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { font-weight: 600; color: var(--dim) } th:first-child, td:first-child { text-align: left }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 150px }
td small { color: var(--dim) }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 24px }
.notes { border-left: 3px solid var(--warn); padding: 2px 14px 2px 30px; background: var(--card) }
.notes li { margin: 4px 0; overflow-wrap: anywhere }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--dim); font: 11px system-ui, sans-serif }
svg .grid { stroke: var(--line); stroke-width: 1 } svg polyline { fill: none; stroke-width: 1.5 }
.s1 { stroke: var(--s1) } .s2 { stroke: var(--s2) } .s3 { stroke: var(--s3) }
.dots { stroke: none } .dots.s1 { fill: var(--s1) } .dots.s2 { fill: var(--s2) } .dots.s3 { fill: var(--s3) }
.legend { font-size: 13px; color: var(--dim) } .legend span { margin-right: 16px }
.legend i { display: inline-block; width: 14px; height: 3px; margin-right: 6px; vertical-align: middle }
.b1 { background: var(--s1) } .b2 { background: var(--s2) } .b3 { background: var(--s3) }
.frame { margin: 14px 0 22px } .panels { display: flex; flex-wrap: wrap; gap: 8px }
figure { margin: 0; max-width: min(100%, 272px) } figure img { display: block; max-width: 100%; border-radius: 4px }
figcaption { color: var(--dim); font-size: 12px }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; border: 1px solid var(--line);
  margin-right: 6px; vertical-align: -1px }
.failed { color: var(--bad) }
"""
