#!/usr/bin/env bash
# Checks the tracked C files (or those named) without running them; exits 1 when anything is found:
#   gcc and clang compile each without a warning (-Werror); clang-tidy and cppcheck, where installed, find nothing.
# Objects go to build-lint-gcc and build-lint-clang, so that a second run compiles only what changed.
#   scripts/lint.sh [file.c ...]        JOBS=n: processes at once (default: all cores)
set -uo pipefail

case ${1-} in -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.." || exit 2
jobs=${JOBS:-$(nproc)}
failed=0

say () { printf 'lint: %s\n' "$*"; }
found () { say "$*"; failed=1; }

if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(git ls-files '*.c'); fi
[ ${#files[@]} -gt 0 ] || { say "no C files"; exit 2; }
for f in "${files[@]}"; do
    [[ $f == *.c && -f $f ]] || { say "$f: not a C file; name files from the repository's root"; exit 2; }
done

# build COMPILER MAKE-ARGUMENT...: the objects of all files. CFLAGS comes by the environment: make then adds to it.
build () {
    local cc=$1 objects=() f
    shift
    for f in "${files[@]}"; do objects+=("build-lint-$cc/${f%.c}.o"); done
    CFLAGS='-O2 -g -Werror' make --no-print-directory -j "$jobs" BUILD="build-lint-$cc" CC="$cc" "$@" "${objects[@]}"
}

checked=()
for cc in gcc clang; do
    if ! command -v "$cc" >/dev/null; then say "$cc is not installed, skipped"; continue; fi
    checked+=("$cc")
    build "$cc" -k >/dev/null || found "$cc -Werror refuses the code above"
done

# What the analysers need to know (include paths, definitions) is what make would run.
database=build-lint-clang/compile_commands.json
mkdir -p build-lint-clang
build clang -nB V=1 2>/dev/null | awk -v dir="$PWD" '
    BEGIN { print "[" }
    / -c -o / && !/build-lint-clang\/proto\/[^ ]*\.c$/ {
        gsub (/\\/, "\\\\"); gsub (/"/, "\\\"")
        printf "%s{\"directory\": \"%s\", \"file\": \"%s\", \"command\": \"%s\"}", sep, dir, $NF, $0; sep = ",\n"
    }
    END { print "\n]" }' > "$database"

# bugprone: easily-swappable-parameters and narrowing-conversions tell of nearly every numeric function.
# sizeof-expression takes each array of pointers (protobuf's repeated fields) for a slip.
# The analyzer's insecureAPI asks for Annex K functions (memcpy_s), which glibc does not have.
tidy_checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling'
tidy_checks+=',bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions'
tidy_checks+=',-bugprone-reserved-identifier,-bugprone-implicit-widening-of-multiplication-result'
tidy_checks+=',-bugprone-branch-clone,-bugprone-sizeof-expression,misc-redundant-expression,misc-misplaced-const'
# Tests: cmocka's asserts are not known to end the function, so that paths go on after a failed one; a table's fields
# stand in the order in which it is read; strcpy and strcat there are of the test's own texts.
test_checks='-clang-analyzer-core.NullDereference,-clang-analyzer-core.NonNullParamChecker'
test_checks+=',-clang-analyzer-optin.performance.Padding,-clang-analyzer-security.insecureAPI.strcpy'
# tidy CHECKS FILE...; one file a process: with more, clang-tidy 14 calls every va_list after the first file uninitialized.
tidy () {
    local checks=$1
    shift
    [ $# -eq 0 ] || printf '%s\0' "$@" \
        | xargs -0 -n 1 -P "$jobs" clang-tidy --quiet -p build-lint-clang --checks="$checks" \
            --warnings-as-errors='*' --header-filter='/(common|services|apps|tests)/' \
            2> >(grep -Ev '^[0-9]+ warnings? (generated|treated)|^Suppressed' >&2)
}

if command -v clang-tidy >/dev/null; then
    checked+=(clang-tidy)
    code=() tests=()
    for f in "${files[@]}"; do if [[ $f == tests/* ]]; then tests+=("$f"); else code+=("$f"); fi; done
    tidy "$tidy_checks" "${code[@]}" || found "clang-tidy found what stands above"
    tidy "$tidy_checks,$test_checks" "${tests[@]}" || found "clang-tidy found what stands above"
else
    say "clang-tidy is not installed, skipped"
fi

if command -v cppcheck >/dev/null; then
    checked+=(cppcheck)
    cppcheck --quiet -j "$jobs" --std=c11 --language=c --enable=warning,portability,performance --inline-suppr \
        --suppress=missingIncludeSystem --suppress=unmatchedSuppression --error-exitcode=1 -D_GNU_SOURCE \
        -Icommon/include -Icommon --template='{file}:{line}: {severity}: {message} [{id}]' "${files[@]}" \
        || found "cppcheck found what stands above"
else
    say "cppcheck is not installed, skipped"
fi

[ ${#checked[@]} -gt 0 ] || { say "nothing that checks is installed: apt install clang clang-tidy cppcheck"; exit 2; }
[ $failed = 0 ] && say "${#files[@]} files are clean by ${checked[*]}"
exit $failed
