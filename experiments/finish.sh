# After the pretraining: sh finish.sh WEIGHTS   (about 25 minutes of one quiet core)
# Raw on the four families, three learning rates, judged on held-out training images; then where the heat lies on test
# images, with all training images, at the best rate of each family.
set -e
cd ..
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONPATH=.:..
for lr in .001 .002 .004; do
  python screen.py gholm_convnext_mini2 --weights "$1" --lr $lr \
    --families mini_birds,mini_dogs,mini_cars,mini_aircraft
done
