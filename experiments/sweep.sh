# Raw on the dev sets (drawn with another seed): rates x families, one thread
export PYTHONPATH=./devpkg GHOLM_RUNS=./runs OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
W=$1; shift
for f in $FAM; do for lr in $LRS; do
 python -m gholm_kit train --dataset $f --data-root ./dev --backbone gholm_convnext_mini2 --weights $W --lr $lr "$@" 2>&1 | tail -2
done; done
