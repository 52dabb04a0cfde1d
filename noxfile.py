"""Sessions for contributors and CI: `nox -l` lists them, plain `nox` runs what CI runs."""

import os
import shutil
import socket
import sys
import zipfile
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TEST_PYTHONS = sorted({*PYTHONS, THIS_PYTHON})
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
LIBRARIES = {
    "strict": [],
    "torch": nox.project.dependency_groups(PYPROJECT, "tests-torch"),  # not 5 GB of CUDA
    "jax": EXTRAS["jax"],
    "dask": [*EXTRAS["dask"], "distributed"],
}
# It keeps compiled kernels in the checkout: for one Python, so that its sessions share them.
EDITABLE = ["--editable", "."]
# Tests of what depends on the libraries that are installed.
SHARED_TESTS = [f"tests/test_{x}.py" for x in ("libraries", "main", "package")]
OPTIONAL = ("tests-torch", "tests-jax", "tests-dask")
WITHOUT_CUDA = "--ignore=tests/cuda"
WITHOUT_PAGES = "--ignore=tests/test_docs.py"
# Without what is the same in each session: the oracle, the fuzzer, and examples.
QUICK = ["-m", "not slow", *(f"--ignore=tests/test_{x}.py" for x in ("oracle", "fuzz", "examples"))]
# Without what is the same on each Python: the CUDA source and its compiler, single kernels, which
# the other tests call, and what JAX traces and Dask schedules, except what every library has.
WITHOUT_THE_SAME = [
    WITHOUT_CUDA,
    *("--ignore=tests/test_jax.py", "--ignore=tests/test_dask.py", "--ignore-glob=*_kernels.py"),
    *("-k", "libraries or not (jax or dask)"),
]
CUDAS = ["12", "13"]

# Of the Pythons of pyenv, PATH has those that are selected, and shims of the others that fail.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] = os.pathsep.join([*map(str, PYENV.glob("versions/3*/bin")), os.environ["PATH"]])

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "virtualenv"  # venv takes ten times as long
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typecheck", f"tests-{THIS_PYTHON}", "docs", "package", "matrix"]


def install(session: nox.Session, *requirements: str, groups: tuple[str, ...]) -> None:
    """Install `requirements` and the named dependency groups of pyproject.toml in one step."""
    # Without `--no-compile`, pip compiles more files than the sessions import.
    session.install(
        "--no-compile", *requirements, *nox.project.dependency_groups(PYPROJECT, *groups)
    )


def run_tests(session: nox.Session, *options: str) -> None:
    """Run pytest on all cores; arguments of the session come last, and so take precedence."""
    # Each process begins with its own files, so few kernels and fixtures are made in both.
    session.run("pytest", "--numprocesses=auto", "--dist=worksteal", *options, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, and that only the modules meant to import an array library do so."""
    install(session, groups=("lint",))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types, and those that type checkers infer for users."""
    install(session, ".", groups=("typecheck", "tests-jax", "tests-dask"))
    session.run("mypy", *session.posargs)
    files = [f"tests/typing/of_{name}.py" for name in ("numpy", "jax", "dask")]  # `tests` has torch
    session.run("mypy", "--config-file=tests/typing/mypy.ini", *files)
    session.env["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"
    try:  # the first run downloads it
        session.run("pyright", "--version", silent=True)
    except nox.command.CommandFailed:
        session.warn("pyright is left out: it cannot be downloaded")
    else:
        session.run("pyright", *files)


@nox.session(python=TEST_PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite on the newest releases."""
    package = EDITABLE if session.python == PYTHONS[0] else ["."]
    install(session, *package, groups=("tests", "tests-newest", "typecheck", *OPTIONAL))
    if WITHOUT_CUDA not in session.posargs:  # PyTorch may have brought another CUDA compiler
        install(session, groups=("tests-cuda",))
    run_tests(session, WITHOUT_PAGES)  # which `docs` runs


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the suite on the oldest releases that pyproject.toml admits."""
    floors = [floor.replace(">=", "==") for floor in PYPROJECT["project"]["dependencies"]]
    install(session, ".", *floors, groups=("tests",))
    run_tests(session)


@nox.session(python=PYTHONS[0])
@nox.parametrize("library", list(LIBRARIES), ids=list(LIBRARIES))
def library(session: nox.Session, library: str) -> None:
    """Run the suite with one array library (strict: with none but array-api-strict)."""
    install(session, *EDITABLE, *LIBRARIES[library], groups=("tests",))
    run_tests(session)


@nox.session(python=PYTHONS[0])
def bounds(session: nox.Session) -> None:
    """Run the tests of kernels at border sizes, with Numba's check of every index."""
    install(session, ".", groups=("tests",))
    # Numba's cache does not tell kernels with checks from those without.
    cache = str(Path(session.virtualenv.location).resolve() / "numba")
    session.env.update(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=cache)
    kernels = "counts_kernels", "distinct_kernels", "value_kernels"
    files = [f"tests/test_{name}.py" for name in ("changed_in_place", "masks", "search", *kernels)]
    run_tests(session, "-k", "not every_boundary", *files)  # which is slow, and checks draws


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """Run `bounds`, and the quick tests: on the oldest releases and the newest, and by library."""
    quick = [*QUICK, *session.posargs]
    session.notify("bounds")
    session.notify("oldest", posargs=[*quick, WITHOUT_CUDA, WITHOUT_PAGES])
    others = (x for x in TEST_PYTHONS if x != THIS_PYTHON and shutil.which(f"python{x}"))
    if newest := max(others, default=None):
        session.notify(f"tests-{newest}", posargs=[*quick, *WITHOUT_THE_SAME])
    for name in LIBRARIES:
        if name != "strict":  # as `oldest` is
            session.notify(f"library({name})", posargs=[*quick, *SHARED_TESTS])


@nox.session
def package(session: nox.Session) -> None:
    """Build the package, in two places; check what is in it; install it and run it elsewhere."""
    install(session, groups=("package",))
    root, temporary = Path.cwd(), Path(session.create_tmp()).resolve()
    shutil.rmtree(temporary)
    dist, again = temporary / "dist", temporary / "again"
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    session.run("python", "-m", "build", "--outdir", str(dist), env=epoch)  # wheel from sdist
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(again), env=epoch)
    if wheel.read_bytes() != (again / wheel.name).read_bytes():
        session.error(f"{wheel.name} is not the same from the source distribution and from here")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".dist-info/")[2] or name for name in archive.namelist()}
    files = {x for x in (root / "src").rglob("*") if x.is_file() and "__pycache__" not in x.parts}
    wanted = {str(x.relative_to(root / "src")) for x in files} | {"licenses/LICENSE"}
    if names != wanted | {"METADATA", "RECORD", "WHEEL"}:
        session.error(f"the wheel lacks {wanted - names}, and has {names - wanted} in addition")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("check-wheel-contents", str(wheel))
    session.run("virtualenv", "--quiet", "--clear", str(temporary / "venv"))
    python = str(temporary / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    installing = ("-m", "pip", "install", "--quiet", "--no-compile", str(wheel))
    session.run(python, *installing, external=True)
    session.chdir(temporary)
    session.run(python, "-m", "anycat", external=True)


@nox.session
def audit(session: nox.Session) -> None:
    """Look up the dependencies in a database of vulnerabilities, where it can be reached."""
    try:
        socket.create_connection(("api.osv.dev", 443), timeout=10).close()
    except OSError as error:
        session.skip(f"api.osv.dev cannot be reached: {error}")
    install(session, groups=("audit",))
    session.run("pip-audit", "--vulnerability-service", "osv", ".")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Check the public API with hostile parameters: for a minute, or as arguments say."""
    install(session, ".", "ml_dtypes>=0.5", groups=("tests", *OPTIONAL))
    session.run("python", "tests/fuzz.py", *(session.posargs or ["--seconds=60"]))


@nox.session
def statistics(session: nox.Session) -> None:
    """Compare very many draws with their probabilities; arguments say how many."""
    install(session, ".", groups=("tests",))
    session.run("python", "tests/frequencies.py", *session.posargs)


@nox.session(venv_params=["--system-site-packages"])
@nox.parametrize("cuda", CUDAS, ids=CUDAS)
def gpu(session: nox.Session, cuda: str) -> None:
    """Run the tests that need a CUDA device, then the benchmarks with installed alternatives."""
    install(session, f".[cupy-cuda{cuda}x]", "ml_dtypes>=0.5", groups=("tests",))
    try:
        session.run("python", "-m", "pytest", "-m", "gpu", *session.posargs)
    finally:  # time on a GPU is scarce: run the benchmarks even if a test fails
        session.run("python", "benchmarks/gpu.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation without a warning, and run its examples, except CuPy's."""
    install(session, *EDITABLE, groups=("docs", "pages"))
    try:
        install(session, groups=("pages-tfp",))
    except nox.command.CommandFailed:  # nightly releases do not stay
        session.warn("the page about TFP and distrax is left out: they cannot be installed")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")
    session.run(
        "pytest",
        *("--doctest-modules", "--doctest-ignore-import-errors"),  # of the module for JAX
        *("--noconftest", "--pyargs", "anycat", "tests/test_docs.py", *session.posargs),
    )


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Time anycat and the alternatives; arguments after `--` choose groups of cases."""
    install(session, ".", groups=("benchmarks",))
    session.run("python", "benchmarks/run.py", *session.posargs)
    if not session.posargs:
        session.run("python", "benchmarks/scaling.py")
        session.run("python", "benchmarks/first_draw.py")
        session.run("python", "benchmarks/language_models.py")
        session.run("python", "benchmarks/inside_numba.py")
        session.run("python", "benchmarks/without_replacement.py")
        session.run("python", "benchmarks/counts.py")
        session.run("python", "benchmarks/policies.py")
        session.run("python", "benchmarks/inside_jax.py")
        session.run("python", "docs/_ext/results.py")
