"""Everyday facts about nature, food, the body, numbers and the calendar. One fact per line: question | answer."""

from __future__ import annotations

NATURE: dict[str, str] = {
    "animals": """
        Which animal barks? | a dog
        Which animal says meow? | a cat
        Which animal gives us wool? | a sheep
        Which animal says moo? | a cow
        Which animal says oink? | a pig
        Which animal has a trunk and big ears? | an elephant
        Which animal has the longest neck? | a giraffe
        Which animal is called the king of the beasts? | a lion
        Which animal has black and white stripes and looks like a horse? | a zebra
        Which animal hops and carries its baby in a pouch? | a kangaroo
        Which animal makes honey? | a bee
        Which animal spins a web? | a spider
        Which animal hoots at night? | an owl
        Which animal croaks in a pond? | a frog
        Which animal carries its house on its back and leaves slime? | a snail
        Which animal gnaws trees and builds dams? | a beaver
        Which animal has eight arms and lives in the sea? | an octopus
        Which animal has humps and crosses deserts? | a camel
        Which animal raced the hare in the fable? | a tortoise
        Which animal quacks? | a duck
        Which animal crows in the morning? | a rooster
        Which animal is covered with sharp quills and rolls up? | a hedgehog
        Which animal eats bamboo and is black and white? | a panda
        Which animal is the largest in the sea? | a whale
        Which animal neighs and is ridden with a saddle? | a horse
        Which animal turns into a butterfly? | a caterpillar
        Which animal hangs upside down in caves and flies at night? | a bat
        Which animal slithers, has no legs and may be venomous? | a snake
        Which animal is a bird that cannot fly and lives on the ice? | a penguin
        Which animal can repeat words that people say? | a parrot
        Which animal stores acorns and has a bushy tail? | a squirrel
        Which animal howls at the moon and hunts in packs? | a wolf
        Which animal walks sideways and has claws? | a crab
        Which animal nibbles cheese and fears cats? | a mouse
    """,
    "food": """
        Which fruit is long, yellow and curved? | a banana
        Which fruit is used to make cider? | an apple
        Which food do bees make? | honey
        Which drink comes from cows? | milk
        Which vegetable is long and orange? | a carrot
        Which vegetable makes you cry when you cut it? | an onion
        Which food is made from beaten cream and spread on bread? | butter
        Which fruit is yellow and very sour? | a lemon
        Which fruit is used to make wine? | grapes
        Which food do hens lay? | eggs
        Which grain is eaten most in China? | rice
        Which drink is made from roasted beans? | coffee
        Which vegetable are chips made of? | potatoes
        Which sweet food is made from cocoa? | chocolate
        Which food is round and flat with tomato and cheese and came from Naples? | pizza
        Which food is made of flour and baked in loaves? | bread
        Which frozen sweet is eaten from a cone? | ice cream
        Which red sauce is made from tomatoes? | ketchup
        Which vegetable is carved for Halloween? | a pumpkin
        Which white powder makes food salty? | salt
        Which fruit is large, green outside and red inside? | a watermelon
        Which fruit has a crown of leaves and prickly skin? | a pineapple
        Which food do mice like in stories? | cheese
        Which nut do squirrels gather under oaks? | an acorn
        Which drink is made by putting dried leaves in hot water? | tea
        Which oil is used in many Greek salads? | olive oil
        Which small green balls grow in pods? | peas
        Which Japanese dish is raw fish on rice? | sushi
    """,
    "body": """
        Which part of the body do you see with? | the eyes
        Which part of the body do you hear with? | the ears
        Which part of the body do you smell with? | the nose
        Which part of the body pumps blood? | the heart
        Which part of the body do you think with? | the brain
        Which part of the body do you breathe with? | the lungs
        Which part of the body do you bite with? | the teeth
        Which part of the body do you taste with? | the tongue
        Which part of the body joins the head to the shoulders? | the neck
        Which part of the body bends in the middle of the leg? | the knee
        Which part of the body bends in the middle of the arm? | the elbow
        Which part of the body digests a meal? | the stomach
        Which part of the body joins the hand to the arm? | the wrist
        Which part of the body joins the foot to the leg? | the ankle
        Which part of the body covers the whole outside? | the skin
        Which part of the body grows on top of the head? | the hair
        Which part of the body do you wear a wedding ring on? | the finger
        Which part of the body do you put into a shoe? | the foot
        Which part of the body do you sit down on? | the bottom
        Which part of the body shelters the heart behind its bones? | the chest
    """,
    "world": """
        Which planet do we live on? | Earth
        Which star gives us light and heat? | the Sun
        Which body circles our planet and lights the night? | the Moon
        Which planet is known for its rings? | Saturn
        Which planet is called the red planet? | Mars
        Which planet is the largest? | Jupiter
        Which gas do we need to breathe? | oxygen
        Which metal are wedding rings often made of? | gold
        Which metal rusts? | iron
        Which falling white flakes cover the ground in winter? | snow
        Which coloured arc stands in the sky after rain? | a rainbow
        Which flash comes before thunder? | lightning
        Which mountain throws out lava? | a volcano
        Which mountain is the highest on Earth? | Mount Everest
        Which ocean lies between Europe and America? | the Atlantic
        Which ocean is the largest? | the Pacific
        Which river flows through Egypt? | the Nile
        Which tree bears acorns? | an oak
        Which tree do coconuts grow on? | a palm
        Which flower has thorns and is given to lovers? | a rose
        Which tall yellow flower turns to the sun? | a sunflower
        Which plant with sharp spines grows in dry land? | a cactus
        Which frozen water floats in drinks? | ice
        Which shaking of the ground destroys houses? | an earthquake
        Which black rock is dug up and burned? | coal
        Which clear stone is the hardest of all? | diamond
        Which force makes apples fall down? | gravity
        Which cold continent lies around the South Pole? | Antarctica
        Which white gas rises from boiling water? | steam
        Which low cloud makes it hard for drivers to see? | fog
    """,
    "numbers": """
        How many days are in a week? | seven
        How many months are in a year? | twelve
        How many legs does a spider have? | eight
        How many legs does an insect have? | six
        How many wheels does a bicycle have? | two
        How many wheels does a tricycle have? | three
        How many wheels does a car have on the road? | four
        How many fingers are on one hand, thumb included? | five
        How many fingers are on two hands, thumbs included? | ten
        How many hours are in a day? | twenty-four
        How many minutes are in an hour? | sixty
        How many cents are in a dollar? | one hundred
        How many metres are in a kilometre? | one thousand
        How many horns does a unicorn have? | one
        How many weeks are in a year? | fifty-two
        How many players does a football team have on the pitch? | eleven
        How many letters does the English alphabet have? | twenty-six
        How many degrees does a right angle have? | ninety
        How many lives is a cat said to have? | nine
        How many days does September have? | thirty
        How many days does January have? | thirty-one
    """,
    "calendar": """
        Which day comes after Monday? | Tuesday
        Which day comes after Tuesday? | Wednesday
        Which day comes after Wednesday? | Thursday
        Which day comes after Thursday? | Friday
        Which day comes after Friday? | Saturday
        Which day comes after Saturday? | Sunday
        Which day comes after Sunday? | Monday
        Which month comes after January? | February
        Which month comes after February? | March
        Which month comes after March? | April
        Which month comes after April? | May
        Which month comes after May? | June
        Which month comes after June? | July
        Which month comes after July? | August
        Which month comes after August? | September
        Which month comes after September? | October
        Which month comes after October? | November
        Which month comes after November? | December
        Which month comes after December? | January
        Which season comes after winter? | spring
        Which season comes after spring? | summer
        Which season comes after summer? | autumn
        Which season comes after autumn? | winter
        Which meal do you eat in the morning? | breakfast
        Which meal do you eat at noon? | lunch
    """,
}
