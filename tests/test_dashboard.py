"""asv's pages of the committed results, opened in headless Chromium: graphs are drawn.

The pages load scripts from the web. Here they are served Debian's instead, so that no test needs
the web, and Chromium is told to resolve no name. Screenshots go to FASTCONV_SCREENSHOTS, where set.
"""

import functools
import http.server
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
MILESTONES = [
    line.split(" ", 1)[0]
    for line in (BENCHMARKS / "milestones.txt").read_text("utf-8").splitlines()
]
ENOUGH = 6  # milestones that a line has points of

pytest.importorskip("asv", reason="asv is not installed: pip install --group dashboard")
selenium = pytest.importorskip("selenium", reason="no selenium: pip install --group dashboard")

JAVASCRIPT = Path("/usr/share/javascript")
FLOT = Path("/usr/share/haskell-js-flot")  # asv's version; libjs-jquery-flot is a later one
# What asv's index.html asks the web for, and where Debian has it. What puts bars side by side is
# nowhere in Debian, and no page here shows bars.
STAND_INS = {
    "jquery-3.3.1.min.js": JAVASCRIPT / "jquery/jquery.min.js",
    "jquery.flot.min.js": FLOT / "jquery.flot.min.js",
    "jquery.flot.time.min.js": FLOT / "jquery.flot.time.min.js",
    "jquery.flot.selection.min.js": FLOT / "jquery.flot.selection.min.js",
    "jquery.flot.categories.min.js": FLOT / "jquery.flot.categories.min.js",
    "jquery.flot.orderBars.js": Path(os.devnull),
    "stupidtable.min.js": JAVASCRIPT / "jquery-stupidtable/stupidtable.min.js",
    "md5.min.js": JAVASCRIPT / "blueimp-md5/md5.min.js",
    "bootstrap.min.js": JAVASCRIPT / "bootstrap/js/bootstrap.min.js",
    "bootstrap.min.css": JAVASCRIPT / "bootstrap/css/bootstrap.min.css",
}
PACKAGES = " ".join(Path(__file__).with_name("dashboard-packages.txt").read_text("utf-8").split())


def what_is_missing():
    """Return the reason why no page can be opened here, or None."""
    files = [*STAND_INS.values(), *(shutil.which(p) or p for p in ("chromium", "chromedriver"))]
    missing = [str(file) for file in files if not Path(file).exists()]
    if missing:
        return f"not here: {', '.join(missing)}; apt-get install {PACKAGES}"
    if not (RESULTS / "benchmarks.json").exists():
        return "no results: benchmarks/history.sh makes them"
    for name in ("main", *MILESTONES):
        command = ["git", "-C", ROOT, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return f"no {name} in this repository: a shallow clone, or none"
    return None


MISSING = what_is_missing()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.cpu_only("the pages show what was measured"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages, with scripts beside them."""
    from asv.util import load_json

    work = tmp_path_factory.mktemp("asv")
    folder = work / "html"
    shutil.copytree(RESULTS, work / "results")
    configuration = load_json(str(BENCHMARKS / "asv.conf.json"), js_comments=True)
    here = {"repo": str(ROOT), "results_dir": str(work / "results"), "html_dir": str(folder)}
    (work / "asv.conf.json").write_text(json.dumps(configuration | here), "utf-8")
    for command in (
        [BENCHMARKS / "measured.py", work / "results"],  # asv may have written all benchmarks
        ["-m", "asv", "publish", "--no-pull", "--config", work / "asv.conf.json"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=work,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    index = folder / "index.html"
    pattern = r'(src|href)="https://[^"]*/([^"/]+\.(?:js|css))" integrity="[^"]*"[^>]*>'
    text, count = re.subn(pattern, r'\1="\2">', index.read_text("utf-8"))
    assert count == len(STAND_INS)  # asv asks for others: STAND_INS must follow
    index.write_text(text, "utf-8")
    for name, file in STAND_INS.items():
        (folder / name).write_bytes(file.read_bytes())
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that writes no log."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # root may be all that there is in a container
        "--disable-dev-shm-usage",
        "--window-size=1500,1000",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, address):
    """Open a page by what stands behind its #, and wait until a script's condition holds."""
    from selenium.webdriver.support.ui import WebDriverWait

    def open_page(page, condition):
        browser.get("about:blank")  # else only what stands behind the # would change
        browser.get(f"{address}#{page}")
        WebDriverWait(browser, 60).until(lambda b: b.execute_script(f"return {condition}"))
        return browser

    yield open_page
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors


def keep(browser, name):
    """Write a screenshot, where somebody wants to look at it."""
    folder = os.environ.get("FASTCONV_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


# How many pixels of a plot's canvas are of each of its lines' colours, and how many of any.
DRAWN = """
    const canvas = arguments[0].querySelector("canvas.flot-base");
    if (!canvas) return null;
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const counts = {};
    let any = 0;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] === 0) continue;
        any += 1;
        const colour = `${data[i]},${data[i + 1]},${data[i + 2]}`;
        counts[colour] = (counts[colour] || 0) + 1;
    }
    const plot = $(arguments[0]).data("plot");
    return {any, series: plot.getData().map(series => {
        const c = $.color.parse(series.color);
        return {
            label: series.label,
            points: series.data.filter(p => p && p[1] !== null).map(p => p[1]),
            pixels: counts[`${c.r},${c.g},${c.b}`] || 0,
        };
    })};
"""


def drawn(browser, element):
    return browser.execute_script(DRAWN, element)


def published(site):
    return json.loads((site / "index.json").read_text("utf-8"))


def test_every_milestone_is_on_the_pages(site):
    hashes = published(site)["revision_to_hash"].values()
    assert set(MILESTONES) <= set(hashes)


def test_results_tell_of_no_home_and_no_folder():
    for file in RESULTS.rglob("*.json"):
        if file.name != "benchmarks.json":
            assert not re.search(r"/(home|root|tmp|work)\b", file.read_text("utf-8")), file


def test_the_grid_draws_every_benchmark(show, site):
    browser = show("/", "document.querySelectorAll('.benchmark-plot').length > 0")
    keep(browser, "grid")
    benchmarks = published(site)["benchmarks"]
    plots = browser.find_elements("css selector", "#summarygrid-display .benchmark-plot")
    assert len(plots) == len(benchmarks)
    for plot in plots:
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        browser.execute_async_script(
            """
            const [plot, done] = arguments;
            const wait = () => $(plot).data("plot") ? done() : setTimeout(wait, 20);
            wait();
            """,
            plot,
        )
        (line,) = drawn(browser, plot)["series"]
        assert len(line["points"]) >= ENOUGH, plot.get_attribute("id")
        assert line["pixels"] > 20, plot.get_attribute("id")
    names = [e.text for e in browser.find_elements("css selector", ".benchmark-text")]
    assert sorted(names) == sorted(b["pretty_name"] for b in benchmarks.values())


@pytest.mark.parametrize(
    ("benchmark", "values", "peers"),
    [
        ("bench_images.Images.time_convolve", {"dtype": "'float32'", "side": "7"}, ["scipy"]),
        ("bench_signals.LongSignals.time_convolve", {"taps": "101"}, ["scipy", "numpy"]),
        ("bench_ndimage.DenseKernels.time_correlate", {"side": "7"}, ["scipy", "opencv"]),
        (
            "bench_layers.Forward.time_forward",
            {"layer": "'ResNet-50 3×3, 64→64, 56×56'", "batch": "1"},
            ["torch", "onnxruntime"],
        ),
    ],
)
def test_peers_are_lines_of_one_graph(show, benchmark, values, peers):
    from urllib.parse import quote

    chosen = "&".join(f"p-{name}={quote(value)}" for name, value in values.items())
    page = f"{benchmark}?x-axis-scale=even&{chosen}"
    browser = show(page, "$('#main-graph').data('plot') && $('#overview').data('plot')")
    keep(browser, benchmark)
    found = drawn(browser, browser.find_element("id", "main-graph"))
    lines = {re.match(r"impl-([^;]+)", line["label"])[1]: line for line in found["series"]}
    assert {"fastconv", *peers} <= lines.keys()
    for library, line in lines.items():
        assert len(line["points"]) >= ENOUGH, library
        assert min(line["points"]) > 0, library
        assert line["pixels"] > 50, library
    legend = browser.find_element("css selector", "#main-graph .legend").text
    assert all(library in legend for library in ("fastconv", *peers))


def test_a_parameter_can_be_the_axis(show):
    page = "bench_images.Images.time_convolve?x-axis=side&p-dtype='float32'&y-axis-scale=log"
    browser = show(page, "$('#main-graph').data('plot')")
    keep(browser, "by-side")
    for line in drawn(browser, browser.find_element("id", "main-graph"))["series"]:
        assert len(line["points"]) > 2
        assert line["pixels"] > 50


def test_the_list_has_names_and_figures(show, site):
    browser = show("/summarylist", "document.querySelectorAll('#summarylist-body tbody tr').length")
    keep(browser, "list")
    rows = browser.execute_script(
        """
        return [...document.querySelectorAll("#summarylist-body tbody tr")].map(
            row => [...row.cells].slice(0, 2).map(cell => cell.textContent));
        """
    )
    for benchmark in published(site)["benchmarks"].values():
        figures = [value for name, value in rows if name.startswith(benchmark["pretty_name"])]
        assert len(figures) >= math.prod(map(len, benchmark["params"]))
        assert sum(map(bool, figures)) > len(figures) / 2, benchmark["name"]
        assert all(
            re.fullmatch(r"[0-9.]+ ?(s|ms|μs|ns|[GMk]?)", value) for value in figures if value
        )


def test_regressions_are_listed_or_said_to_be_none(show, site):
    browser = show("/regressions", "$('#regressions-body').text().trim()")
    keep(browser, "regressions")
    listed = json.loads((site / "regressions.json").read_text("utf-8"))["regressions"]
    assert not any(re.search(r"\('(scipy|numpy|opencv|torch)", entry[0]) for entry in listed)
    text = browser.find_element("id", "regressions-body").text
    assert all(entry[0].split("(")[0] in text for entry in listed)
