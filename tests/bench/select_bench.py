"""Selection: ranking beside DynIm (a checkout that DYNIM_DIR names) or its steps in numpy + FAISS, at the campaign's size."""
import os
import shutil
import subprocess
import tempfile

from bench import Skipped, figures, median

TITLE = 'selection: 5 queues of 35,000 candidates; 10 million; 1,510 bins; a restart'
FLOOR_RANK, FLOOR_PASSES, FLOOR_BINNED = 100, 1 / 3, 1
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'select_reference.py')


def has_faiss():
    return subprocess.run(['/usr/bin/python3', '-c', 'import faiss'], capture_output=True).returncode == 0


def check_picks(b, folder, k, size, options):
    """Of the last run, against float64 numpy; one that is out of order or has a rank further off than 1e-5 ends the bench."""
    checked = figures(['/usr/bin/python3', SCRIPT, '--data', folder, '--peer-rounds', '0', '--check-queues',
                       str(min(2, size['queues'])), '--k', str(k), *options])
    b.note(f"k = {k}: {checked['picks_checked']:.0f} picks checked against float64 numpy: {checked['picks_wrong']:.0f} wrong, "
           f"largest difference of a rank {checked['rank_difference']:.1e}")


def rank(b, folder):
    """Add 100 to each queue and select 10 from each: ours ranks after each pick, the peer once a selection."""
    size = {'queues': 2, 'candidates': 1500, 'selected': 400, 'rounds': 2, 'add': 20} if b.short else \
           {'queues': 5, 'candidates': 35000, 'selected': 10000, 'rounds': 10, 'add': 100}
    options = [x for k, v in size.items() for x in (f'--{k}', str(v))]
    programs = {'select': b.program('bench_select', scene='rank', dump=folder, **size)}
    peer = 'DynIm, exact index' if 'DYNIM_DIR' in os.environ else 'numpy + FAISS, exact index'
    if has_faiss():
        reference = ['/usr/bin/python3', SCRIPT, '--data', folder, '--check-queues', '0', '--peer-rounds', '1', *options]
        programs['peer'] = lambda: figures(reference)
    else:
        b.skip('python3-faiss is not installed')
    results = b.sample(programs)
    ours = results['select']
    theirs = next((v for k, v in results.get('peer', {}).items() if k.endswith('_round')), None)
    passes = median(ours['pass_over_a_queue']) * size['queues'] * 10
    b.row(f"add {size['add']}, select 10, in each of {size['queues']} queues", 'ms', ours['select_round'], peer, theirs,
          floor=FLOOR_RANK if theirs and not b.short else None, lower_is_better=True,
          limit=f'{passes:.3g} ms when each pick read all candidates once')
    b.row('the same, CPU time', 'ms', ours['select_round_cpu'], peer,
          next((v for k, v in results.get('peer', {}).items() if k.endswith('_round_cpu')), None), lower_is_better=True)
    check_picks(b, folder, 10, size, options)
    with open(os.path.join(folder, 'picks.csv')) as f:
        picks = f.read()
    os.environ['OMP_NUM_THREADS'] = '1'
    try:
        programs['select']()
    finally:
        del os.environ['OMP_NUM_THREADS']
    with open(os.path.join(folder, 'picks.csv')) as f:
        if f.read() != picks:
            raise RuntimeError('one thread picks otherwise than all')
    b.note('one thread picks the same, to the last bit of each rank')
    b.program('bench_select', scene='rank', dump=folder, k=1, **size)()
    check_picks(b, folder, 1, size, options)


def pick(b):
    results = b.sample({'select': b.program('bench_select', scene='pick', picks=20, rounds=1 if b.short else 5, selected=300
                                            if b.short else 10000, candidates=20000 if b.short else 10000000)})['select']
    b.row('10 million candidates: each further pick', 'ms', results['pick_each'], 'one pass over their points', results['pass'],
          floor=None if b.short else FLOOR_PASSES, lower_is_better=True,
          limit=f"pass: {median(results['pass_bandwidth']):.3g} GB/s by memcpy into the cache")
    b.row('  until the first pick, 10,000 selected', 's', results['pick_bounds'],
          limit=f"{median(results['pick_bounds_cpu']):.3g} s of CPU; {median(results['pick_memory_a_candidate']):.0f} B a candidate")


def binned(b):
    candidates = 50000 if b.short else 9000000
    results = b.sample({'select': b.program('bench_select', scene='binned', rounds=5 if b.short else 50,
                                            candidates=candidates)})['select']
    b.row('binned, 1,510 bins: add', 'M/s', results['binned_add'], 'promised', [10.0],
          floor=None if b.short else FLOOR_BINNED,
          limit=f"copying ids and points alone {median(results['binned_copy_alone']):.3g} M/s; "
                f"{median(results['binned_add_cpu']):.3g} M a second of CPU")
    b.row('  a selection of 10', 'ms', results['binned_select'], 'promised', [1.0], floor=None if b.short else FLOOR_BINNED,
          lower_is_better=True)
    if 'DYNIM_BINNED_DIR' in os.environ and not b.short:
        peer = figures(['/usr/bin/python3', SCRIPT, '--scene', 'binned', '--candidates', '200000', '--peer-rounds', '1'])
        b.note(f"DynIm's binned sampler with 200,000 candidates: {peer['dynim_binned_add']:.3g} M/s, "
               f"{peer['dynim_binned_select']:.0f} ms a selection")


def restart(b, folder):
    """From a store as a killed service leaves it to the first proposal. RESTART_CANDIDATES=10000000: the promise for so many
    itself; its store takes some minutes to make, so without it a tenth is measured, of a tenth of the seconds."""
    many = int(os.environ.get('RESTART_CANDIDATES', 1000000))
    sizes = [({'queues': 2, 'candidates': 500, 'selected': 20}, 2)] if b.short else \
        [({'queues': 5, 'candidates': 35000, 'selected': 10000}, 2), ({'queues': 1, 'candidates': many, 'selected': 10000}, 30 * many / 1e7)]
    for i, (size, promised) in enumerate(sizes):
        store = os.path.join(folder, f'store-{i}')
        os.mkdir(store)
        results = b.sample({'select': b.program('bench_select', scene='restart', dir=store, rounds=1, **size)})['select']
        b.row(f"killed, and ready again: {size['queues']} x {size['candidates']:,} and {size['selected']:,} selected", 's',
              results['restart_ready'], 'promised', [promised], floor=None if b.short else 1, lower_is_better=True,
              limit=f"{median(results['restart_ready_cpu']):.3g} s of CPU, {median(results['restart_load_cpu']):.3g} s to read the store and "
                    f"bound the ranks")
        b.row('  a proposal of 2,000 among them', 's', results['propose_2000'],
              limit=f"{median(results['propose_2000_cpu']):.3g} s of CPU")


def bench(b):
    folder = tempfile.mkdtemp(prefix='strata-bench-')
    try:
        rank(b, folder)
        for part in (pick, binned):
            part(b)
        restart(b, folder)
    except Skipped as e:
        b.skip(e)
    finally:
        shutil.rmtree(folder)
