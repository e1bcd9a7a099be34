"""Word lists for names in free text: what is a given name, and what is capitalised without being one.

Given names of two dozen languages, folded (lower case, no accents). They only raise confidence: a name that stands here
nowhere is found by its shape. NOT_NAMES matters more: the vocabulary of machines, sites, sentences and places.
"""

from __future__ import annotations

GIVEN_NAMES: frozenset[str] = frozenset(
    (
        # English
        "james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony donald steven paul "
        "andrew joshua kenneth kevin brian george edward ronald timothy jason jeffrey ryan jacob gary nicholas eric jonathan stephen larry "
        "justin scott brandon benjamin samuel gregory frank alexander raymond patrick jack dennis jerry tyler aaron jose adam henry nathan "
        "douglas zachary peter kyle walter ethan jeremy harold keith christian roger noah gerald carl terry sean austin arthur lawrence jesse "
        "dylan bryan joe jordan billy bruce albert willie gabriel logan alan juan wayne roy ralph randy eugene vincent russell elijah louis "
        "bobby philip johnny mary patricia jennifer linda elizabeth barbara susan jessica sarah karen nancy lisa betty margaret sandra ashley "
        "kimberly emily donna michelle carol amanda dorothy melissa deborah stephanie rebecca sharon laura cynthia kathleen amy shirley angela "
        "helen anna brenda pamela nicole emma samantha katherine christine debra rachel catherine carolyn janet ruth maria heather diane "
        "virginia julie joyce victoria olivia kelly christina lauren joan evelyn judith megan cheryl andrea hannah martha jacqueline frances "
        "gloria ann teresa kathryn sara janice jean alice madison doris abigail julia judy grace denise amber marilyn beverly danielle theresa "
        "sophia marie diana brittany natalie isabella charlotte rose alexis kayla oliver harry charlie oscar freddie alfie archie isla freya "
        "poppy sophie chloe liam mason lucas owen caleb luke connor simon graham nigel trevor ian neil stuart colin derek clive hugh gareth rhys "
        "niamh siobhan aoife sinead ciaran declan eoin fiona moira gemma holly kirsty zoe claire alison tracy joanne jane sally wendy hazel dawn "
        "toby felix leo max hugo theo rory ewan callum craig duncan angus ross greg jim tom tim mike matt nick dave steve chris ben sam dan bob "
        "bill ted fred jake alex kate jenny beth meg liz sue pam jill kim ellie mia ava amelia ella lily evie ruby "
        # German, Austrian, Swiss
        "hans peter wolfgang klaus jurgen juergen dieter manfred uwe gunter guenter horst bernd karl heinz werner gerhard helmut andreas stefan "
        "michael thomas martin markus christian sebastian tobias florian jan matthias alexander daniel tim lukas jonas felix maximilian paul leon "
        "fabian philipp dominik marcel patrick rene torsten thorsten sven ralf rolf jorg joerg holger detlef volker frank dirk axel olaf ingo heiko "
        "heike sabine petra monika ursula renate ingrid gisela brigitte helga christa elke karin barbara susanne andrea claudia martina birgit "
        "stefanie nicole katrin kathrin anja silke tanja sandra melanie nadine julia anna lena laura lea sarah hannah hanna leonie marie sophie "
        "franziska johanna katharina annika svenja jana heidi gudrun ute doris kerstin anke antje britta dagmar edith elfriede erika frieda "
        "gertrud hedwig hildegard irmgard jutta lieselotte margarete rosemarie waltraud friedrich wilhelm otto hermann kurt ernst walter heinrich "
        "georg josef franz johann ludwig anton alois xaver sepp reinhold siegfried egon erwin gustav emil theodor konrad luise annemarie greta "
        "emilia mila finn elias luis noah milan moritz jannik niklas julius valentin oskar jakob "
        # French
        "jean pierre michel andre philippe rene louis alain jacques bernard marcel daniel roger robert paul claude christian henri georges nicolas "
        "francois laurent stephane eric david pascal olivier christophe frederic julien thierry sebastien alexandre guillaume antoine maxime "
        "mathieu thibault benoit cedric jerome fabrice gilles guy herve yves yvon emmanuel sylvain xavier vincent arnaud bruno lucien raymond "
        "marcelle marie jeanne francoise monique catherine nathalie isabelle jacqueline anne sylvie martine madeleine nicole suzanne helene "
        "christine veronique valerie sophie sandrine stephanie celine virginie julie aurelie emilie camille lea manon chloe ines lucie margaux "
        "agathe clemence mathilde oceane pauline juliette elodie audrey brigitte chantal colette denise dominique edith elisabeth eliane genevieve "
        "gabrielle henriette josette laurence lucienne odette paulette penelope renee simone solange therese yvette zoe theophile timothee gaspard "
        "hugues leon luc marc matthieu noel patrice raoul remy tristan victor benjamin honore augustin edouard etienne anais adele alix amelie "
        # Spanish, Portuguese, Latin American
        "antonio jose manuel francisco juan david javier daniel carlos jesus alejandro miguel rafael pedro pablo angel sergio fernando jorge luis "
        "alberto alvaro diego adrian raul ivan enrique ramon vicente andres joaquin santiago eduardo victor roberto jaime mario ignacio oscar "
        "marcos salvador ricardo emilio gonzalo julian tomas agustin esteban felipe guillermo hector hugo ismael lorenzo martin mateo nicolas "
        "rodrigo ruben samuel sebastian xavi xavier maria carmen josefa isabel dolores pilar teresa ana francisca laura antonia mercedes cristina "
        "marta lucia elena rosario rosa raquel sara paula beatriz manuela silvia patricia irene alba andrea rocio monica encarnacion montserrat "
        "angela sonia alicia sandra susana marina yolanda natalia eva consuelo amparo begona blanca catalina clara esther gloria ines lourdes luisa "
        "margarita miriam nieves nuria olga paloma remedios soledad sofia valentina ximena camila guadalupe joao pedro tiago goncalo duarte afonso "
        "rui nuno paulo luiz gustavo lucas matheus gabriel guilherme vinicius thiago caio davi heitor enzo bernardo arthur murilo otavio leonardo "
        "bruno marcelo marcio fabio flavio rogerio sandro wagner wellington anderson leticia larissa fernanda juliana camila bianca bruna gabriela "
        "isabela isadora lavinia lorena luana lunna maite mariana milena nicole rafaela rayssa stella vitoria yasmin beatriz carolina catarina "
        "joana mariana matilde leonor benedita cecilia emanuella esther evelyn heloisa "
        # Italian
        "giuseppe giovanni mario luigi francesco angelo vincenzo pietro salvatore carlo franco domenico bruno paolo michele giorgio aldo sergio "
        "luciano marco andrea alessandro matteo lorenzo gabriele mattia riccardo davide leonardo edoardo federico simone stefano roberto fabio "
        "massimo maurizio claudio daniele enrico filippo giacomo nicola renato silvio tommaso umberto valerio vittorio giulia chiara francesca "
        "federica sara martina valentina alessia silvia elisa ilaria giorgia elena paola laura anna rosa giuseppina angela giovanna teresa lucia "
        "carmela caterina antonietta rita concetta emma aurora ginevra bianca beatrice gaia arianna noemi rebecca vittoria camilla ludovica "
        "margherita monica simona sabrina stefania barbara cinzia daniela donatella patrizia roberta "
        # Polish, Czech, Slovak, Hungarian, Romanian, Balkan
        "jan andrzej piotr krzysztof stanislaw tomasz pawel jozef marcin marek michal grzegorz jerzy tadeusz adam lukasz zbigniew ryszard dariusz "
        "henryk mariusz kazimierz wojciech robert mateusz marian rafal jacek janusz miroslaw maciej slawomir jaroslaw kamil wieslaw roman wladyslaw "
        "jakub artur zdzislaw edward mieczyslaw damian dawid przemyslaw sebastian czeslaw leszek daniel waldemar kacper szymon filip bartosz "
        "bartlomiej hubert igor olaf oskar anna maria katarzyna malgorzata agnieszka krystyna barbara ewa elzbieta zofia janina teresa joanna "
        "magdalena monika jadwiga danuta irena halina helena beata aleksandra marta dorota marianna grazyna jolanta stanislawa iwona karolina bozena "
        "urszula justyna renata alicja paulina sylwia natalia wanda agata aneta izabela ewelina marzena wieslawa genowefa patrycja kazimiera edyta "
        "stefania oliwia julia zuzanna maja lena hanna jiri petr josef pavel martin tomas jaroslav miroslav zdenek vaclav karel milan lukas jakub "
        "ondrej vojtech matej jana marie eva hana anna lenka katerina lucie vera alena petra veronika jaroslava tereza michaela jitka ivana zuzana "
        "istvan laszlo jozsef zoltan sandor ferenc gabor attila zsolt tamas balazs gergo andras bence katalin ilona erzsebet zsuzsanna judit agnes "
        "eszter reka ion gheorghe vasile andrei mihai cristian alexandru stefan florin ionut elena ioana mihaela andreea cristina daniela ana "
        "goran zoran dragan milos nikola marko luka ivan petar jovan branko milica jelena marija ivana vesna snezana mirjana "
        # Dutch, Nordic, Baltic, Turkish, Greek
        "jan piet kees henk willem gerrit hendrik cornelis johannes jeroen bas sander daan sem lars thijs ruben jesse bram milan luuk stijn gijs koen "
        "maarten joost wouter pieter dirk jasper niels tim rik rob ronald marcel erik arjan duuk anouk sanne lotte femke fleur iris eva emma julia "
        "tess sophie lieke anne maud noor roos saar fenna isa ingrid marijke wilma ans truus greetje hanneke marloes esmee jolijn ecrin erik lars "
        "karl anders johan per nils mikael fredrik mattias magnus gustav oskar axel elsa astrid ingrid karin birgitta margareta eva kristina lena "
        "sofia linnea maja alva freja signe ida elin hanna sven bjorn leif ole knut morten henrik kari anne inger marit liv solveig silje marte jens "
        "soren mette hanne kirsten lone pia matti juha timo antti mikko janne ville sami pekka jari heikki kaisa anneli liisa paivi tuula aino helmi "
        "mehmet mustafa ahmet ali huseyin hasan ibrahim ismail osman yusuf murat emre burak cem can deniz kemal serkan tolga ayse fatma emine hatice "
        "zeynep elif merve busra esra ozlem sevgi derya giorgos dimitris kostas nikos yannis vasilis eleni maria katerina georgia sofia "
        # Slavic east
        "ivan aleksandr sergey sergei dmitry dmitri andrey andrei alexei alexey maxim mikhail nikolai vladimir igor oleg pavel yuri boris anton "
        "viktor evgeny konstantin roman ruslan denis artem kirill stanislav olga elena natalia tatiana irina svetlana anastasia maria anna ekaterina "
        "yulia marina ludmila galina oksana vera nadezhda lyudmila daria polina ksenia oleksandr volodymyr mykola andriy taras bohdan olena iryna "
        # Arabic, Persian, Hebrew, African
        "mohammed muhammad mohamed ahmed ahmad ali omar hassan hussein ibrahim khalid abdullah abdul youssef yusuf karim tariq samir rashid faisal "
        "salem nasser fatima aisha maryam khadija zainab layla leila noor nour amina hana salma yasmin rania dina samira farah mahmoud mustafa bilal "
        "hamza imran jamal kareem malik nabil omid reza hossein mehdi amir arash dariush shirin parisa maryam neda zahra yael noa tamar avi moshe "
        "yosef shlomo chinedu chukwu emeka ifeanyi kwame kofi kwesi ama abena amara oluwaseun ngozi chioma adaeze thabo sipho themba zanele "
        "nomsa lerato wanjiru kamau otieno achieng juma amani fatou mamadou ousmane aminata ibrahima "
        # South Asian
        "aarav arjun aditya amit anil anand ankit arun ashok ajay akash deepak dinesh gaurav ganesh gopal hari harish karan kiran krishna kumar "
        "lakshman mahesh manish manoj mohan mukesh naveen nikhil nitin pradeep prakash pranav praveen rahul raj rajesh raju rakesh ram ramesh "
        "ravi rohan rohit sachin sandeep sanjay santosh satish shankar shyam siddharth sunil suresh varun vijay vikas vikram vinod vishal vivek yash zaid "
        "aadhya aanya aishwarya ananya anjali anita anu aparna asha bhavna deepa deepika divya gauri geeta indira isha jaya jyoti kavita kavya lakshmi "
        "lata madhuri mala meena meera naina neha nisha pooja prachi preeti priya priyanka radha rani rekha riya ritu saanvi sangeeta sarita shalini "
        "shanti shreya sita smita sneha sonal sunita swati tara uma usha vandana vidya harpreet gurpreet simran jaspreet imran farhan salman shahid "
        "asif tahir nadia sana ayesha zara fatema nusrat "
        # East Asian, romanised
        "hiroshi takashi kenji kazuo akira yuki haruto ren sota takumi daiki kenta naoki shota yuto ryo makoto satoshi osamu minoru yoko keiko yumi "
        "naoko tomoko akiko sakura hina yui aoi misaki haruka ayumi emi mei rin wei fang jing lei min yan hao jun ming xin ying yu hui chen li "
        "xiaoming xiaoli jian qiang minjun seojun jiho jihun minho sungmin hyun jisoo jiwoo minji soyeon yuna eunji haeun nguyen thi van anh minh "
        "linh huong thanh tuan hung somchai siti nur budi agus dewi putri ayu rizky"
    ).split()
)

TITLES: frozenset[str] = frozenset(
    "mr mrs ms miss mx dr prof sir madam herr hr frau fr fraulein monsieur madame mme mlle sr sra srta senor senora senorita don dona sig "
    "signor signora signore dott dottore ing pan pani heer mevrouw dhr mevr meneer shri smt kumari engr".split()
)

PARTICLES: frozenset[str] = frozenset(
    "de da do dos das di del della dei du des la le van der den ter ten te von vom zu zum zur und y e af av al el bin ibn abu ben bint san st o d".split()
)

SURNAME_ENDINGS_CJK: tuple[str, ...] = tuple(
    "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林 斎藤 清水 山崎 森 池田 橋本 阿部 石川 山下 中島 前田 藤田 "
    "小川 後藤 岡田 長谷川 村上 近藤 石井 坂本 遠藤 青木 藤井 西村 福田 太田 三浦 岡本 松田 中川 中野 原田 小野 田村 竹内 金子 和田 中山 石田 上田 森田 原 柴田 "
    "酒井 工藤 横山 宮崎 宮本 内田 高木 安藤 谷口 大野 丸山 今井 高田 藤本 武田 村田 上野 杉山 増田 平野 大塚 千葉 久保 松井 岩崎 桜井 木下 野口 野村 "
    "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍 王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 高 罗 郑 梁 谢 宋 唐".split()
)

NOT_NAMES: frozenset[str] = frozenset(
    (
        # sentence words, English
        "the a an and or but if then else when while for from to of in on at by with without about into over under after before during until "
        "is are was were be been being am do does did done has have had having will would shall should can could may might must not no yes ok okay "
        "this that these those it its he she they we you i me my your his her their our who whom whose what which where why how all any each every "
        "some many much more most less least few several other another same such own than too very just only also again still even ever never "
        "always often now then here there today tomorrow yesterday morning afternoon evening night noon midnight monday tuesday wednesday thursday "
        "friday saturday sunday mon tue wed thu fri sat sun january february march april may june july august september october november december "
        "jan feb mar apr jun jul aug sep sept oct nov dec please thanks thank hello hi dear hey regards best kind good bad new old next last first "
        "second third fourth fifth one two three four five six seven eight nine ten zero up down left right front back top bottom inside outside near far "
        "early late high low big small large long short full empty open closed free busy ready clear cleared hot cold warm dry wet clean dirty "
        "red green blue yellow white black orange grey gray brown purple "
        "ask asked tell told say said says see saw seen got get gets go goes went gone come came make made take took taken give gave given find found "
        "keep kept let leave left call called calling calls try tried use used using work worked working works run running ran stop stopped stopping stops start started "
        "starting starts restart restarted move moved moving turn turned press pressed pushed pulled hold held release released check checked checking "
        "replace replaced replacing repair repaired fix fixed fixing clean cleaned test tested testing verify verified confirm confirmed send sent "
        "receive received deliver delivered delivering pick picked picking pickup drop dropped dropoff load loaded loading unload unloaded scan scanned "
        "charge charged charging discharge wait waited waiting need needs needed want wants report reported reports log logged logs login logout "
        "update updated updating upgrade upgraded install installed reset rebooted reboot boot booted connect connected connecting disconnect "
        "disconnected lost failed fail failing failure fails error errors warning warnings warn info debug fatal critical notice trace alert alarm "
        "alarms fault faults issue issues problem problems incident event events message messages note notes comment remark remarks reason cause "
        "spoke speak talked talk met meet informed inform notified notify reminded remind assigned assign handed hand handover signed sign "
        "approved approve rejected reject accepted accept requested request escalated escalate resolved resolve closed close opened entered enter "
        "left arrived arrive departed depart returned return visited visit logged badge badged escorted trained train training "
        # roles and people words
        "operator operators driver drivers technician technicians engineer engineers mechanic mechanics supervisor supervisors foreman worker workers "
        "colleague colleagues employee employees staff crew team teams manager managers lead leader shift visitor visitors guest guests customer "
        "customers client clients contact person people user users admin administrator patient pedestrian human humans man woman picker packer "
        "loader inspector security guard nurse doctor owner holder sender recipient author reporter assignee responder "
        # machines and sites
        "robot robots amr amrs agv agvs agvs fleet vehicle vehicles truck trucks forklift forklifts arm arms gripper grippers conveyor conveyors crane "
        "lift lifts elevator pallet pallets box boxes bin bins tote totes cart carts trolley shelf shelves rack racks aisle aisles dock docks "
        "gate gates door doors ramp ramps lane lanes zone zones area areas room rooms hall halls floor level building warehouse warehouses "
        "station stations charger chargers depot site sites plant line lines cell cells bay bays corridor entrance exit yard buffer "
        "battery batteries motor motors drive drives wheel wheels brake brakes bumper bumpers sensor sensors camera cameras lidar radar sonar imu "
        "encoder encoders joint joints axis axes link tool tools controller controllers plc hmi panel screen display button buttons switch "
        "relay fuse cable cables wire connector board boards module modules unit units part parts component components assembly system systems "
        "emergency estop stop safety laser scanner scanners barcode label labels printer tablet phone radio headset beacon antenna router access point "
        "network wifi wlan lan bluetooth ethernet broker server servers client gateway host hosts cloud edge node nodes topic topics service "
        "services software firmware hardware version release build kernel driver package config configuration parameter parameters setting settings "
        "map maps path paths route routes goal goals pose position location waypoint docking navigation nav localization planner costmap obstacle obstacles "
        "collision collisions detected detection object objects person persons speed velocity torque force pressure temperature humidity voltage "
        "current power energy level status state states mode modes automatic manual semiautomatic service teachin idle active paused "
        "order orders task tasks job jobs mission missions action actions step steps sequence batch lot item items product products sku shipment "
        "parcel parcels package packages delivery deliveries invoice ticket tickets id ids code codes number numbers serial token key keys password "
        "secret api url http https mqtt ros json xml yaml csv usb can tcp udp ip mac gps rfid nfc qr ssd cpu gpu ram pid crc sha uuid "
        "north south east west main side upper lower inner outer central middle center centre rear "
        "maintenance inspection calibration cleaning audit report summary review schedule plan planned daily weekly monthly annual "
        "production logistics quality control assurance receiving shipping storage inventory picking packing sorting returns "
        "machine machines equipment device devices process processes cycle cycles count total average maximum minimum value values range limit "
        "time timeout date day days week weeks month year hour hours minute minutes second seconds "
        "address street road avenue email mail telephone mobile fax tel name names birth born passport plate license licence "
        "card account bank payment paid social insurance national tax number pin code "
        "social security insurance identity document form visa "
        "linux ubuntu debian windows android docker python java github gitlab slack stripe openai amazon google microsoft azure aws "
        "bearer basic authorization content type accept encoding language agent mozilla chrome firefox safari curl "
        "enabled disabled enable disable activated deactivated protective protection program programs programme file files folder folders field fields "
        "assistance assist assistant unconfigured configured inactive finalized operational preoperational standby running halted locked unlocked "
        "engaged disengaged blocked unblocked occupied vacant available unavailable reached exceeded reduced increased approaching following "
        "lifecycle executor scheduler dispatcher watchdog heartbeat recorder logger monitor observer analyzer analyser tracker estimator "
        "publisher subscriber bridge plugin driver daemon kernel thread worker pipeline stage trigger triggered timer counter register "
        "hydraulic hydraulics pneumatic vacuum suction nozzle magnet spindle bearing gearbox shaft chain belt roller fork forks mast chassis "
        "inverter converter transformer rectifier contactor breaker resistor capacitor thermistor thermostat pump valve tank filter fan cooler heater "
        "ultrasonic infrared stereo depth thermal optical acoustic inductive capacitive proximity absolute incremental primary secondary tertiary "
        "forward backward reverse clockwise counterclockwise horizontal vertical lateral linear angular rotary static dynamic "
        "packing welding painting milling drilling assembly palletizing depalletizing wrapping labelling labeling weighing "
        "sud nord ost ovest norte oeste noord zuid oost links rechts vorne hinten oben unten gauche droite avant arriere izquierda derecha "
        # companies' words and model names
        "inc ltd llc gmbh ag co corp company group international robotics automation industries technologies solutions systems "
        "series pro plus max mini ultra lite model type class "
        # German
        "der die das den dem des ein eine einen einem einer eines und oder aber wenn dann weil dass ob nicht kein keine keinen ja nein bitte danke "
        "ist sind war waren wird wurde werden wurden hat haben hatte kann konnte soll sollte muss musste darf im in am an auf aus bei mit nach seit von vor zu zum zur uber "
        "unter durch fur gegen ohne um bis heute morgen gestern jetzt hier dort wieder noch schon sehr auch nur mehr alle alles neu neue neuer "
        "herr frau kollege kollegin fahrer bediener techniker mitarbeiter mitarbeiterin schicht schichtleiter meister kunde kundin besucher lager halle tor "
        "rampe gang regal palette paletten karton kiste wagen stapler roboter anlage maschine motor antrieb batterie akku ladestation stecker kabel "
        "sensor kamera greifer arm achse rad bremse tur schalter taster not aus halt fehler warnung storung meldung hinweis ursache wartung reparatur "
        "prufung reinigung auftrag bestellung lieferung teil teile nummer seriennummer version software steuer steuernummer ausweis geburtsdatum "
        "adresse anschrift strasse telefon rufnummer passwort kennwort schlussel montag dienstag mittwoch donnerstag freitag samstag sonntag "
        "januar februar marz mai juni juli oktober dezember fruhschicht spatschicht nachtschicht ubergabe rucksprache anruf einsatz zone bereich "
        "kreuzung strecke fahrt ziel start ende zeit uhr tag woche "
        # French, Spanish, Italian, Portuguese, Dutch, Polish
        "le la les un une des du de et ou mais si non oui est sont etait ete avec sans pour par sur sous dans chez vers apres avant merci bonjour "
        "client conducteur operateur technicien equipe poste erreur alarme panne arret urgence robot chariot quai porte zone entrepot "
        "colis commande livraison piece batterie moteur capteur numero adresse rue telephone courriel mot passe naissance passeport "
        "el los las una unos unas y o pero no es son fue con sin para por en sobre hasta desde hola gracias cliente conductor operador operario tecnico "
        "turno error alarma parada emergencia muelle puerta zona almacen pedido entrega pieza bateria motor numero direccion calle telefono correo "
        "contrasena nacimiento pasaporte matricula documento "
        "il lo gli uno e ma se si sono era con per su tra fra dal dalla nel nella ciao grazie cliente autista operatore tecnico turno errore allarme "
        "arresto emergenza porta zona magazzino ordine consegna pezzo batteria motore numero indirizzo telefono nascita passaporto targa codice fiscale "
        "os as um uma nao sim com sem para obrigado ola motorista tecnico turno erro alarme parada emergencia doca porta armazem pedido "
        "entrega peca bateria numero endereco rua telefone senha nascimento passaporte placa "
        "het een en of maar niet geen ja nee met zonder voor door op onder bij naar van bedankt klant chauffeur monteur ploeg fout alarm noodstop "
        "deur hal magazijn bestelling levering onderdeel accu nummer adres straat telefoon wachtwoord geboortedatum paspoort kenteken "
        "i oraz lub ale nie tak jest sa byl z bez dla przez na pod w do od po dziekuje prosze klient kierowca operator technik zmiana blad alarm "
        "stop awaria brama strefa magazyn zamowienie dostawa czesc bateria numer adres ulica telefon haslo urodzenia paszport tablica"
    ).split()
) - frozenset("jan may april june august mark rose grace frank".split())
