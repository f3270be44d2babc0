# Runs a job of one of CTADIRAC's element types, as the steps of CTADIRAC's own jobs do.
#
# Usage: bash cta_job.sh PACKAGE VERSION CATEGORY COMPILER PROGRAM [WORD…]
#
# It finds the software, copies its dirac_* programs here, and puts the input files beside them.
# It runs PROGRAM, then $CTA_CHECK. Then it writes the metadata of each output file beside it.
# CTA_MOON, CTA_DIV_ANG: conditions, with files of their own. CTA_FOLDER, CTA_MODEL_VERSIONS: the
# folder of SimPipe's files, and the models that it used.
set -eu
shopt -s nullglob

software=${PILOTAGE_SOFTWARE:-/cvmfs/sw.cta-observatory.org/software/centos7}
package=$1 version=$2 category=$3 compiler=$4
shift 4

# Print the folders to try for a compiler such as gcc83_matchcpu, best first.
candidates() {
    case ${compiler##*_} in
        matchcpu) levels="avx512 avx2 avx sse4" ;;
        avx512 | avx2 | avx | sse4) levels=${compiler##*_} ;;
        *) echo "$compiler" && return ;;
    esac
    for level in $levels; do
        if grep -q "$level" /proc/cpuinfo; then echo "${compiler%_*}_$level"; fi
    done
    echo "${compiler%_*}_noOpt"
}

set_up() {
    for one in $(candidates); do
        folder=$software/$one/$category/$package/$version
        if [ -d "$folder" ]; then
            for program in "$folder"/dirac_*; do cp -p "$program" .; done
            echo "$folder/setupPackage.sh" >setup_script_path.txt
            return
        fi
    done
    echo "no $package $version in $software/{$(candidates | paste -sd,)}/$category" >&2
    exit 1
}

# Print the run number in the name of a file, without zeros before it.
run_number() {
    case ${1##*/} in
        *tid[0-9]*) sed -E 's/.*tid0*([0-9]+).*/\1/' <<<"${1##*/}" ;;
        *run[0-9]*) sed -E 's/.*run0*([0-9]+).*/\1/' <<<"${1##*/}" ;;
    esac
}

# Write the metadata of a file, as members of a JSON object, and its run number.
label() {
    members=$2 number=$(run_number "$1")
    if [ -n "$number" ]; then members="$members${members:+, }\"runNumber\": $number"; fi
    if [ -n "$members" ]; then echo "{$members}" >"$1.meta.json"; fi
}

# Label the files of each condition, after a check of the numbers of showers.
label_conditions() {
    for moon in $CTA_MOON; do
        case $moon in
            dark) nsb=1 word=dark ;;
            half) nsb=5 word=moon ;;
            full) nsb=19 word=fullmoon ;;
        esac
        for angle in ${CTA_DIV_ANG:-none}; do
            members="\"nsb\": $nsb" part=
            if [ "$angle" != none ]; then
                members="$members, \"div_ang\": \"$angle\"" part=div$angle
            fi
            pattern="Data/*-$part*-$word*.simtel.zst"
            files=(Data/*-$part*-"$word"*.simtel.zst Data/*-$part*-"$word"*.log_hist.tar)
            if [ -n "$(echo Data/*.corsika.zst)" ]; then
                pattern="Data/*.corsika.zst" files=(Data/*.corsika.{zst,log.gz})
            fi
            dirac_simtel_check "$pattern"
            for file in "${files[@]}"; do label "$file" "$members"; done
        done
    done
}

# Label SimPipe's files. A run on a job grid tells their metadata in a file.
label_simpipe() {
    found=
    if [ -f "$CTA_FOLDER/simulate_prod_job_metadata.yml" ]; then
        found=$(awk '
            /^[^ #]/ { inside = ($1 == "catalog_metadata:"); next }
            inside && NF > 1 {
                key = $1; sub(/:$/, "", key)
                value = $0; sub(/^[^:]*: */, "", value); gsub(/["\047]/, "", value)
                if (value !~ /^-?[0-9]+(\.[0-9]+)?$/ || key == "model_version") value = "\"" value "\""
                printf "%s\"%s\": %s", (n++ ? ", " : ""), key, value
            }' "$CTA_FOLDER/simulate_prod_job_metadata.yml")
        for file in "$CTA_FOLDER"/*.{zst,hdf5,gz}; do label "$file" "$found"; done
    fi
    for model in $CTA_MODEL_VERSIONS; do
        for file in "$CTA_FOLDER"/*_"$model"_*.{zst,hdf5,gz}; do
            label "$file" "\"model_version\": \"$model\""
        done
    done
}

set_up
PATH=$PWD:$PATH
for folder in files energy_model classifier_model; do
    if [ -d $folder ]; then mv $folder/* . && rmdir $folder; fi
done
"$@"
${CTA_CHECK:-}
for file in Data/*; do label "$file" ""; done
if [ -n "${CTA_MOON:-}" ]; then label_conditions; fi
if [ -n "${CTA_FOLDER:-}" ]; then label_simpipe; fi
