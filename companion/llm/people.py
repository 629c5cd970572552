"""Names of people in free text, found by a surname and the words around it. Made to find too much rather than too little."""

import re

# Surnames that cover nearly everybody (public statistics of the ministry of public security), less those that are
# everyday words far more often than names (如, 都, 和, 来, ...).
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖萧田董袁潘于蒋蔡余洪赖毛杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦"
    "付傅方白邹孟熊秦邱江尹薛闫阎段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞"
    "柳甘祝包宁尚符舒阮柯纪梅童凌毕裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费"
    "卜冷晏席卫米柏宗瞿桂佟臧闵苟邬边卞姬师仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩佘池查苑迟邝官封谈匡鞠惠荆乐冀郁班储栗燕楚鄢劳谌奚皮粟冼蔺楼盘"
)
_DOUBLE = "欧阳|上官|司马|诸葛|司徒|夏侯|皇甫|尉迟|东方|慕容|令狐|公孙|长孙|宇文"
# What begins with a surname and names nobody.
_NOBODY = (
    "高血|高烧|高压|高度|高危|高低|高龄|高原|白内|白癜|白血|白天|白带|白细|黄疸|黄斑|黄体|黄水|方便|方面|方法|马上|曾经|常常|常年|常规|安排|安全|于是|向来|成天|成年|毛病|毛囊|康复|"
    "沙眼|路上|连续|连着|连带|易怒|易出|温度|卫生|何时|何种|石头|金属|汤药|米饭|车祸|牛奶|皮肤|皮疹|皮下|胡说|华人|文化|关节|关心|关于|管用|包括|解释|解决|解大|解小|查了|查出|查体|"
    "查血|查一|乐意|师傅|边上|古怪|谈话|班上|盘腿|池子|毕竟|项目|简单|商量|游泳|盛饭|曲张|万一|钱包|严重|顾客|段时|龙骨|阳性|阳光|费用|冷汗|劳动|尚未|符合|宁可|任何|任务|余下|"
    "程度|叶酸|石膏|夏天|范围|钟头|单子|田里|许多|林子|唐氏|苏醒|姜汤|付款|付钱|付费|付了|时候|时间|左右|全身|全部|明天|水肿|白(?=的|色)|高(?=的|些|点|了)|黄(?=的|色)|丁点|"
    "梅毒|花粉|艾滋|尤其|童年|房颤|房间|谷丙|谷草|甘油|柏油|苗条|成人|武术|洪水|江边|金黄|陶瓷|雷声|史上|申请|安心|平时|周[一二三四五六日末]|周围|周期|管子|管炎|管道|窦炎|窦性|苗好|苗打|林和|林可"
)
_TITLE = r"医生|大夫|医师|主任|教授|护士|专家"
_ONE = rf"(?!(?:{_NOBODY}))(?:{_DOUBLE}|[{_SURNAMES}])"
_KIN = (
    "我妈|我爸|我娘|我爹|妈妈|爸爸|母亲|父亲|老伴|爱人|丈夫|妻子|老公|老婆|老头|婆婆|公公|岳母|岳父|儿子|女儿|闺女|儿媳|女婿|孙子|孙女|外孙|奶奶|爷爷|外婆|外公|姥姥|姥爷|"
    "姐姐|妹妹|哥哥|弟弟|大哥|大姐|大嫂|孩子|邻居|朋友|同事|家属|患者|病人|姓名|名字|就诊人"
).split("|")
_SAID = "我叫|他叫|她叫|字叫|名叫|人叫|妈叫|爸叫|子叫|女叫|伴叫|公叫|婆叫|叫做|我是|字是|名是|患者:|病人:|姓名:|姓名是|名字:".split(
    "|"
)
_WEAK = "给|帮|替|为|把|将|和|跟|陪|与|让|查一下|看一下|问一下|取消".split("|")
# Characters of which most given names are made (public statistics of newborns and of the whole population).
_GIVEN = (
    "伟芳娜敏静秀丽强磊洋艳勇军杰娟涛超明霞兰英平刚桂玉华萍红梅鹏飞辉玲凤洁琳琴云莹雪婷慧颖佳嘉欣怡悦梓涵浩宇轩博文志建国庆春林海燕淑珍素贞荣德福贵昌永光亮"
    "宏俊峰龙凯斌彬宁波毅晨旭阳晓东亚雅诗琪瑶倩菲薇蕾莉媛妍彤瑞祥顺义忠诚信仁孝礼智勤俭廷运泰康乐喜莲菊荷香翠蓉芬芝茹惠爱美巧彩银锦绣瑛珠璐瑜璇琦琼宝生根发有才富"
    "金树森柏松鑫锋钢铁民和卫兵学武振兴家耀祖先继承恩泽润沛霖雨露冰清雯雁鸿鹤麟骏腾跃翔达通远航舟帆江河山岩峻峥嵘炎烨煜灿昊晗晴昕朗朋友良善贤哲睿聪思念盼望希梦"
    "若如依然子一可心月娥雨桐秋冬春夏水长启维守立新传援朝绍尚满仓改来弟丹帅柱栓妞枝萌萱熙昕柔绮珂钰铭铮锐钧翰墨征凡澜澄沐沁溪湘滨瀚川岚崇岳正圆奇卓群冠元亨利谐敬修齐纲纪仲季承启开云二三四喜旺财邦栋花铁安之恒昱皓韵舒妮婉娴姝妹姣娇妙好禾苗田甜果小大国"
)
# What may follow a name: the end of the clause, or what people then say of somebody.
_THEN = r"(?=$|[,。.!?、;:()\s\d〔]|[的是今挂约看取拿交缴办查报预来去说在有也想要岁男女眼头胃肚腰腿胸嗓耳牙手脚浑感发咳觉最不拉失睡吐疼痛晕和跟到这那已刚没能会该做住得患昨前又老一两三])"


def _after(words: list[str]) -> str:
    return "(?:" + "|".join(f"(?<={re.escape(word)})" for word in words) + ")"


NAMED = (
    # somebody is announced: up to two characters of a given name, even where nothing ends it
    re.compile(rf"{_after(_SAID)}{_ONE}[一-龥]{{1,2}}?{_THEN}|{_after(_SAID)}{_ONE}[一-龥]{{1,2}}"),
    re.compile(rf"{_after(_KIN)}{_ONE}(?!{_TITLE})[一-龥]{{1,2}}?{_THEN}|{_after(_KIN)}{_ONE}(?!{_TITLE})[一-龥]{{2}}"),
    re.compile(rf"{_after(_WEAK)}{_ONE}(?!{_TITLE})[一-龥]{{1,2}}?(?!{_TITLE}){_THEN}"),
    # a name with what belongs to it, or who stands beside it
    re.compile(
        rf"(?:(?<=^)|(?<=[,。!?;:\s])|(?<=[把将查看要问退取])){_ONE}(?!{_TITLE})[一-龥]{{1,2}}"
        r"(?=的(?:号|药|报告|检查|结果|预约|病历|单子|化验|片子|卡|电话|身份证|地址)|[和跟]我|[要想](?:看|挂|约|查|取|去)|,?[男女](?:$|,)|,?\d+岁|今年|约了|挂了)"
    ),
    # made like a name: three characters anywhere, two where they are a clause's beginning or end
    re.compile(rf"{_ONE}(?!{_TITLE})[{_GIVEN}]{{2}}(?!{_TITLE})"),
    re.compile(
        rf"(?:(?<=^)|(?<=[,。!?;:\s跟和叫替是成在让请把给帮为由找天])){_ONE}(?!{_TITLE})[{_GIVEN}]{{1,2}}"
        r"(?=[的讲说带来取缴交约挂在名今昨接看问一,。!?]|$)"
    ),
    re.compile(rf"(?:(?<=^)|(?<=[,。!?;:\s是成叫])){_ONE}[{_GIVEN}]{_THEN}|{_ONE}[{_GIVEN}](?=$|[,。!?;:\s])"),
    re.compile(rf"{_ONE}[一-龥]{{0,2}}?(?:先生|女士|小姐|大爷|大妈|大娘|阿姨|叔叔|奶奶|爷爷|大姐|大哥|老师|同志)"),
)
"""Searched one after another; the whole match is the name, with its title where one follows."""
