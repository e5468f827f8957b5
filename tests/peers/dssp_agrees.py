"""membrane-dssp beside mkdssp, residue for residue, over the PDB files that are given."""
import os
import subprocess
import sys
import tempfile


def bare(path, work):
    """A copy with nothing but sequence and coordinates, and a name for every chain: mkdssp refuses a file for less."""
    copy, cell = os.path.join(work, os.path.basename(path)), False
    with open(path) as f, open(copy, 'w') as out:
        out.write('HEADER    PROTEIN                                 01-JAN-00   XXXX              \n')
        for line in f:
            atom = line.startswith(('ATOM  ', 'HETATM'))
            if (atom or line.startswith('MODEL')) and not cell:
                out.write('CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1          \n')
                cell = True
            if atom or line.startswith(('SEQRES', 'MODRES', 'TER', 'MODEL', 'ENDMDL', 'END')):
                out.write(line[:21] + 'A' + line[22:] if atom and line[21] == ' ' else line)
    return copy


def peer(copy, work):
    """{(chain, number with insertion code): letter} as mkdssp has it; None when it refuses the file."""
    out = os.path.join(work, 'out.dssp')
    done = subprocess.run(['mkdssp', '--quiet', '--output-format', 'dssp', copy, out], capture_output=True, text=True)
    if done.returncode != 0:
        print(f'  {os.path.basename(copy)}: mkdssp refuses it: {(done.stderr.strip().splitlines() or ["no word"])[-1]}')
        return None
    residues, found = False, {}
    for line in open(out):
        if residues and line[13] != '!':
            found[(line[11], line[5:11].strip())] = line[16].replace(' ', '-')
        residues = residues or line.startswith('  #  RESIDUE')
    return found


def ours(program, path):
    done = subprocess.run([program, path], stdout=subprocess.PIPE, text=True, check=True)
    words = (line.split() for line in done.stdout.splitlines())
    return {(chain.replace('-', ' '), number): letter for chain, number, _, letter in words}


def main():
    program, work, compared, residues, letters, wrong = sys.argv[1], tempfile.mkdtemp(), 0, 0, set(), 0
    for path in sys.argv[2:]:
        copy = bare(path, work)
        theirs = peer(copy, work)
        if theirs is None:
            continue
        mine = ours(program, copy)
        different = [(k, theirs.get(k, 'absent'), mine.get(k, 'absent')) for k in sorted(set(theirs) | set(mine)) if theirs.get(k) != mine.get(k)]
        compared, residues, letters, wrong = compared + 1, residues + len(theirs), letters | set(theirs.values()), wrong + bool(different)
        print(f'  {os.path.basename(path)}: {len(theirs)} residues, {len(different)} differ {different[:6] if different else ""}')
    print(f'{compared} structures, {residues} residues with the letters {"".join(sorted(letters))}: {wrong} structures differ')
    return 0 if compared >= 20 and not wrong and set('HGEBTS-') <= letters else 1


if __name__ == '__main__':
    sys.exit(main())
