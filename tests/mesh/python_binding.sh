#!/usr/bin/env bash
# The Python binding, from the build tree and as pip installs it, against a stage that is killed once meanwhile.
. "$(dirname "$0")/lib.sh"

export STRATA_TEST_CACHE=$work/cache
make_campaign -e "s|^stage: {|stage: {cache: {folder: $STRATA_TEST_CACHE, mb: 64}, |" -e 's/^replicas:.*/replicas: {stage: 2}/' -e 's/^schedule:.*/schedule: {executor: local, cores: 1}/'
grep -q "cache: {folder" "$campaign" || fail "the campaign has no cache"
mkdir -p "$workspace"
"$bin/strata-stage" --campaign "$campaign" --workspace "$workspace" 2> "$work/stage-0.log" &
first=$!
"$bin/strata-stage" --campaign "$campaign" --workspace "$workspace" --replica 1 2> "$work/stage-1.log" &
second=$!
end () { kill $first $second 2> /dev/null; wait $first $second 2> /dev/null; }
trap 'end; clean_up' EXIT
cd "$work" || exit 1

strata_python "$root/tests/mesh/python_binding.py" > "$work/tests" 2>&1 || { cat "$work/tests"; fail "the tests, from the build tree"; }
sed 's/^/  /' "$work/tests"

# ---- a call goes through a stage's death ----
kill -KILL $first
wait $first 2> /dev/null
(sleep 1; exec "$bin/strata-stage" --campaign "$campaign" --workspace "$workspace" 2>> "$work/stage-0.log") &
first=$!
strata_python - > "$work/out" 2>&1 << 'END' || { cat "$work/out"; fail "calls through a stage's death"; }
import strata
with strata.Client(timeout=60) as s:
    s.put_many("death", {f"k{i}": b"x" for i in range(40)})
    assert len(s.list("death")) == 40
    assert s.last_sequence("notes", "me") == 2
END
echo "  40 puts through the death of a stage"

# ---- pip install ----
if /usr/bin/python3 -c 'import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, ("pip", "setuptools", "wheel"))))'; then
    cp -r "$root/python" "$work/source" # its build folders don't go into the source tree
    STRATA_LIBRARY=$library /usr/bin/python3 -m pip install --quiet --no-build-isolation --no-deps --no-index --root-user-action=ignore \
        --target "$work/installed" "$work/source" > "$work/pip" 2>&1 || { cat "$work/pip"; fail "pip install ./python"; }
    (unset STRATA_LIBRARY; PYTHONPATH=$work/installed preloaded_python -c '
import strata, strata._library as l
assert l.__file__.startswith("'"$work"'/installed"), l.__file__
with strata.Client(timeout=30) as s: assert bytes(s.get("death", "k7")) == b"x"') || fail "the installed package"
    echo "  pip install ./python, imported from there"
else
    echo "  skipped: pip, setuptools or wheel is not installed for /usr/bin/python3"
fi

# ---- the example of python/README.md ----
sed -n '/^```python$/,/^```$/p' "$root/python/README.md" | grep -v '^```' > "$work/example.py"
strata_python "$work/example.py" > "$work/out" 2>&1 || { cat "$work/out"; fail "the example of python/README.md"; }
echo "  the example of python/README.md runs"
